// name: shifted_genes
// question: Which genes change between two conditions within a state or cell type?
// param group: string — key or name of a state (S1), or label or key of a cell type
// param limit: integer = 10 — best ranks to return
// param dataset: string = "" — key of a data set; empty for all
// column group: string — key of the state or label of the cell type
// column condition: string — the condition asked about
// column reference: string — the condition it is compared with
// column gene: string — key of the gene
// column symbol: string — symbol of the gene
// column rank: integer — rank in the group, 1 = best
// column log2_fold_change: float — of mean counts per 10,000 over the reference
// column q: float — Benjamini-Hochberg q
// column donors_agreeing: integer — donors in which the gene changes in that direction
// column n_donors: integer — donors asked, 0 when unknown
// column attention_difference: float — mean graph attention over that under the reference
// column attention_q: float — Benjamini-Hochberg q of it
// column null: string — the null hypothesis, and what was compared
// column method: string — how effect and p were computed
MATCH (g:State|CellType)-[r:SHIFTS]->(m:Gene)
WHERE (g.key = $group OR (g:State AND g.name = $group) OR (g:CellType AND g.label = $group))
  AND ($dataset = '' OR r.dataset = $dataset) AND r.rank <= $limit
WITH CASE WHEN g:State THEN g.key ELSE g.label END AS group,
  CASE WHEN g:State THEN 'State' ELSE 'CellType' END AS group_kind, g.key AS group_key, r, m
ORDER BY group_kind DESC, group_key, r.dataset, r.condition, r.reference, r.rank, m.key
RETURN group, r.condition AS condition, r.reference AS reference, m.key AS gene,
  m.symbol AS symbol, r.rank AS rank, r.log2_fold_change AS log2_fold_change, r.q AS q,
  r.donors_agreeing AS donors_agreeing, r.n_donors AS n_donors,
  r.attention_difference AS attention_difference, r.attention_q AS attention_q,
  r.`null` AS `null`, r.method AS method
