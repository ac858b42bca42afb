"""Genes removed from cells, or raised in them, and what the encoder says would change."""
