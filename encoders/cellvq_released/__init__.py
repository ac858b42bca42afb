"""The published CellVQ and scFoundation architectures, for weights that the user brings."""
