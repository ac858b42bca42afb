"""The report: one HTML page that says what is in a graph, with the evidence and its limits."""

from .write import write_report

__all__ = ["write_report"]
