"""All that a graph knows of a cell or of a state, each claim with its evidence."""
