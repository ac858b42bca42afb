// name: shared_markers
// question: Which genes mark both of two states or cell types?
// param first: string — key or name of a state, or label or key of a cell type
// param second: string — the same of another
// param limit: integer = 10 — most rows
// param dataset: string = "" — key of a data set; empty for all
// column gene: string — key of the gene
// column symbol: string — symbol of the gene
// column rank_first: integer — in the first group
// column rank_second: integer — in the second group
// column auroc_first: float — in the first group
// column auroc_second: float — in the second group
// column verdict_first: string — in the first group
// column verdict_second: string — in the second group
// column dataset: string — key of the data set
MATCH (a:State|CellType)-[r:MARKED_BY]->(m:Gene)<-[q:MARKED_BY]-(b:State|CellType)
WHERE (a.key = $first OR (a:State AND a.name = $first) OR (a:CellType AND a.label = $first))
  AND (b.key = $second OR (b:State AND b.name = $second) OR (b:CellType AND b.label = $second))
  AND r.dataset = q.dataset AND ($dataset = '' OR r.dataset = $dataset)
WITH m, r, q, a, b ORDER BY r.rank + q.rank, m.key, r.dataset, a.key, b.key,
  a:CellType, b:CellType
LIMIT $limit
RETURN m.key AS gene, m.symbol AS symbol, r.rank AS rank_first, q.rank AS rank_second,
  r.auroc AS auroc_first, q.auroc AS auroc_second,
  r.verdict AS verdict_first, q.verdict AS verdict_second, r.dataset AS dataset
