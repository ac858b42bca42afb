"""Markers of groups of cells: all statistics in one pass, by cells, donors and attention."""
