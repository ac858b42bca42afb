"""scDMC: one BERT reads a cell as ranked genes and as genes with values; the two must agree."""
