// name: attended_genes
// question: Which genes are most attended in a cell?
// param cell: string — key or barcode of the cell
// param limit: integer = 10 — most rows
// param dataset: string = "" — key of a data set; empty for all
// column cell: string — key of the cell
// column gene: string — key of the gene
// column symbol: string — symbol of the gene
// column encoder: float — attention of the encoder, 1 = uniform
// column graph: float — graph attention, 1 = uniform; none if not in the graph
CALL {
  MATCH (c:Cell {key: $cell}) RETURN c
  UNION
  MATCH (c:Cell {barcode: $cell}) RETURN c
}
MATCH (c)-[r:ATTENDS_TO]->(m:Gene)
WHERE $dataset = '' OR c.dataset = $dataset
WITH c, r, m ORDER BY r.encoder IS NULL, r.encoder DESC, c.key, m.key
LIMIT $limit
RETURN c.key AS cell, m.key AS gene, m.symbol AS symbol, r.encoder AS encoder, r.graph AS graph
