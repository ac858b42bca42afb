"""CellPatch: learned patch tokens read the expressed genes of a cell by cross-attention."""
