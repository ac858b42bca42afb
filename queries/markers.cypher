// name: markers
// question: Which genes mark a state or a cell type?
// param group: string — key or name of a state (S1), or label or key of a cell type
// param limit: integer = 10 — best ranks to return
// param dataset: string = "" — key of a data set; empty for all
// column group: string — key of the state or label of the cell type
// column group_kind: string — State or CellType
// column gene: string — key of the gene
// column symbol: string — symbol of the gene
// column rank: integer — by consensus of attention and expression, 1 = best
// column attention_lift: float — mean attention inside over outside
// column attention_z: float — z under the permutation null
// column attention_q: float — Benjamini-Hochberg q of attention
// column auroc: float — area under the ROC curve of expression, [0, 1]
// column log2_fold_change: float — of mean counts per 10,000, inside over outside
// column detected_in: float — share of cells of the group with a count
// column detected_out: float — share of other cells with a count
// column expression_q: float — Benjamini-Hochberg q of the rank-sum test
// column donors_agreeing: integer — donors in which the gene is higher inside
// column n_donors: integer — donors that could be asked, 0 when unknown
// column verdict: string — supported, expression_only, attention_only or unsupported
MATCH (g:State|CellType)-[r:MARKED_BY]->(m:Gene)
WHERE (g.key = $group OR (g:State AND g.name = $group) OR (g:CellType AND g.label = $group))
  AND ($dataset = '' OR r.dataset = $dataset) AND r.rank <= $limit
WITH CASE WHEN g:State THEN g.key ELSE g.label END AS group,
  CASE WHEN g:State THEN 'State' ELSE 'CellType' END AS group_kind, g.key AS group_key, r, m
ORDER BY group_kind DESC, group_key, r.dataset, r.rank, m.key
RETURN group, group_kind, m.key AS gene, m.symbol AS symbol, r.rank AS rank,
  r.attention_lift AS attention_lift, r.attention_z AS attention_z, r.attention_q AS attention_q,
  r.auroc AS auroc, r.log2_fold_change AS log2_fold_change,
  r.detected_in AS detected_in, r.detected_out AS detected_out, r.expression_q AS expression_q,
  r.donors_agreeing AS donors_agreeing, r.n_donors AS n_donors, r.verdict AS verdict
