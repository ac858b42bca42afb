"""Genes that an encoder places close together, and analogies of genes, beside chance."""
