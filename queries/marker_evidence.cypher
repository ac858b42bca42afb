// name: marker_evidence
// question: What is the evidence that a gene marks a state or a cell type?
// param group: string — key or name of a state (S1), or label or key of a cell type
// param gene: string — symbol or key of the gene
// column group: string — key of the state or label of the cell type
// column group_kind: string — State or CellType
// column gene: string — key of the gene
// column symbol: string — symbol of the gene
// column rank: integer — by consensus
// column attention_rank: integer — by attention alone
// column expression_rank: integer — by expression alone
// column attention_lift: float — mean attention inside over outside
// column attention_z: float — under the permutation null
// column attention_p: float — permutation p
// column attention_q: float — Benjamini-Hochberg q
// column matched_z: float — of the lift among genes of like mean and detection
// column matched_q: float — Benjamini-Hochberg q of it
// column rewired_z: float — of the lift under degree-preserving rewiring of cells and genes
// column rewired_q: float — Benjamini-Hochberg q of it
// column attention_says: string — explains or associated, by the tests of faithfulness
// column auroc: float — of expression, [0, 1]
// column log2_fold_change: float — inside over outside
// column detected_in: float — share of cells with a count inside
// column detected_out: float — outside
// column expression_p: float — rank-sum p
// column expression_q: float — Benjamini-Hochberg q
// column donors_agreeing: integer — donors in which the gene is higher inside
// column verdict: string — supported, expression_only, attention_only or unsupported
// column effect: float — size of the effect, of what says the method
// column n_cells: integer — cells the claim rests on
// column n_donors: integer — donors, 0 when unknown
// column p: float — p value, never 0
// column q: float — Benjamini-Hochberg q
// column null: string — the null hypothesis
// column method: string — how effect and p were computed
// column dataset: string — key of the data set
// column dataset_hash: string — SHA-256 of the data
// column encoder_hash: string — SHA-256 of the encoder weights
// column code_version: string — version of Scypher
// column stale: string — why it no longer holds of the cells in the graph, empty while it does
MATCH (g:State|CellType)-[r:MARKED_BY]->(m:Gene)
WHERE (g.key = $group OR (g:State AND g.name = $group) OR (g:CellType AND g.label = $group))
  AND (m.symbol = $gene OR m.key = $gene)
WITH CASE WHEN g:State THEN g.key ELSE g.label END AS group,
  CASE WHEN g:State THEN 'State' ELSE 'CellType' END AS group_kind, g.key AS group_key, r, m
ORDER BY group_kind DESC, group_key, r.dataset, m.key
RETURN group, group_kind, m.key AS gene, m.symbol AS symbol,
  r.rank AS rank, r.attention_rank AS attention_rank, r.expression_rank AS expression_rank,
  r.attention_lift AS attention_lift, r.attention_z AS attention_z, r.attention_p AS attention_p,
  r.attention_q AS attention_q, r.matched_z AS matched_z, r.matched_q AS matched_q,
  r.rewired_z AS rewired_z, r.rewired_q AS rewired_q, r.attention_says AS attention_says,
  r.auroc AS auroc, r.log2_fold_change AS log2_fold_change,
  r.detected_in AS detected_in, r.detected_out AS detected_out, r.expression_p AS expression_p,
  r.expression_q AS expression_q, r.donors_agreeing AS donors_agreeing, r.verdict AS verdict,
  r.effect AS effect, r.n_cells AS n_cells, r.n_donors AS n_donors,
  r.p AS p, r.q AS q, r.`null` AS `null`,
  r.method AS method, r.dataset AS dataset, r.dataset_hash AS dataset_hash,
  r.encoder_hash AS encoder_hash, r.code_version AS code_version,
  coalesce(r.stale, '') AS stale
