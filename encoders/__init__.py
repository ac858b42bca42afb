"""Encoders: from raw counts to cell codes, embeddings and attention."""
