"""The knowledge graph: schema, tables, graph attention, stores and queries."""
