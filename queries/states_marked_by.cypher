// name: states_marked_by
// question: Which states and cell types does a gene mark?
// param gene: string — symbol or key of the gene
// column gene: string — key of the gene
// column symbol: string — symbol of the gene
// column group: string — key of the state or label of the cell type
// column group_kind: string — State or CellType
// column label: string — most frequent label of the state, or the cell type
// column rank: integer — of the gene in the group
// column auroc: float — of expression, [0, 1]
// column attention_lift: float — mean attention inside over outside
// column verdict: string — supported, expression_only, attention_only or unsupported
// column dataset: string — key of the data set
MATCH (m:Gene) WHERE m.symbol = $gene OR m.key = $gene
MATCH (g:State|CellType)-[r:MARKED_BY]->(m)
WITH CASE WHEN g:State THEN g.key ELSE g.label END AS group,
  CASE WHEN g:State THEN 'State' ELSE 'CellType' END AS group_kind, g.key AS group_key, g.label AS label, r, m
ORDER BY r.rank, group_kind, group_key, r.dataset, m.key
RETURN m.key AS gene, m.symbol AS symbol, group, group_kind, label, r.rank AS rank,
  r.auroc AS auroc, r.attention_lift AS attention_lift, r.verdict AS verdict,
  r.dataset AS dataset
