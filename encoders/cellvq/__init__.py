"""CellVQ."""
