// name: marker_baselines
// question: How do the rankings by attention alone and by expression alone compare with the consensus?
// param group: string — key or name of a state (S1), or label or key of a cell type
// param limit: integer = 10 — ranks to look at in each ranking
// param dataset: string = "" — key of a data set; empty for all
// column group: string — key of the state or label of the cell type
// column gene: string — key of the gene
// column symbol: string — symbol of the gene
// column rank: integer — by consensus
// column attention_rank: integer — by attention alone
// column expression_rank: integer — by expression alone
// column auroc: float — of expression, [0, 1]
// column attention_lift: float — mean attention inside over outside
// column verdict: string — supported, expression_only, attention_only or unsupported
MATCH (g:State|CellType)-[r:MARKED_BY]->(m:Gene)
WHERE (g.key = $group OR (g:State AND g.name = $group) OR (g:CellType AND g.label = $group))
  AND ($dataset = '' OR r.dataset = $dataset)
  AND (r.rank <= $limit OR r.attention_rank <= $limit OR r.expression_rank <= $limit)
WITH CASE WHEN g:State THEN g.key ELSE g.label END AS group, CASE WHEN g:State THEN 'State' ELSE 'CellType' END AS group_kind,
  g.key AS group_key, r, m
ORDER BY group_kind DESC, group_key, r.dataset, r.rank, m.key
RETURN group, m.key AS gene, m.symbol AS symbol, r.rank AS rank,
  r.attention_rank AS attention_rank, r.expression_rank AS expression_rank,
  r.auroc AS auroc, r.attention_lift AS attention_lift, r.verdict AS verdict
