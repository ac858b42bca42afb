"""Evidence and answers."""
