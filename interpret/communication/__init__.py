"""Ligand-receptor pairs between groups of cells and between spots, with nulls and decoys."""
