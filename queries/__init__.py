"""Cypher query files, one per question, same text for every store."""
