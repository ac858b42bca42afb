// name: expressed_genes
// question: Which genes does a cell express most?
// param cell: string — key or barcode of the cell
// param limit: integer = 10 — most rows
// param dataset: string = "" — key of a data set; empty for all
// column cell: string — key of the cell
// column gene: string — key of the gene
// column symbol: string — symbol of the gene
// column value: float — log1p of counts per 10,000
// column rank: integer — rank within the cell, 1 = highest
CALL {
  MATCH (c:Cell {key: $cell}) RETURN c
  UNION
  MATCH (c:Cell {barcode: $cell}) RETURN c
}
MATCH (c)-[r:EXPRESSES]->(m:Gene)
WHERE $dataset = '' OR c.dataset = $dataset
WITH c, r, m ORDER BY r.rank, c.key, m.key
LIMIT $limit
RETURN c.key AS cell, m.key AS gene, m.symbol AS symbol, r.value AS value, r.rank AS rank
