"""Versions of a graph: which pieces it was made of when, and what changed in between."""
