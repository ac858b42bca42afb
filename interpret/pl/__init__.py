"""Plots of results: each takes a tidy frame and returns matplotlib axes."""
