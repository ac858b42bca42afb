// name: regulation
// question: Which transcription factors act on a gene, on which genes does it act, and do the data agree?
// param gene: string — symbol or key of the gene
// param limit: integer = 50 — most rows
// param dataset: string = "" — key of a data set; empty for all
// column regulator: string — key of the transcription factor
// column regulator_symbol: string — its symbol
// column target: string — key of the gene it acts on
// column target_symbol: string — its symbol
// column sign: integer — 1 activates, -1 represses, 0 not known
// column resource: string — resource that says so
// column context: string — cells that were asked
// column correlation: float — Pearson correlation of log expression, [-1, 1]
// column correlation_q: float — Benjamini-Hochberg q over the tested links of the resource
// column sign_agrees: string — yes or no where q < 0.05 and the sign is known, else empty
// column n_cells: integer — cells asked
// column null: string — the null hypothesis, and what was compared
MATCH (f:Gene)-[r:REGULATES]->(m:Gene)
WHERE (f.symbol = $gene OR f.key = $gene OR m.symbol = $gene OR m.key = $gene)
  AND ($dataset = '' OR r.dataset = $dataset)
WITH f, r, m
ORDER BY r.correlation_q IS NULL, r.correlation_q, r.correlation IS NULL, r.correlation DESC,
  f.key, m.key, r.dataset, r.context, r.resource
LIMIT $limit
RETURN f.key AS regulator, f.symbol AS regulator_symbol, m.key AS target,
  m.symbol AS target_symbol, r.sign AS sign, r.resource AS resource, r.context AS context,
  r.correlation AS correlation, r.correlation_q AS correlation_q, r.sign_agrees AS sign_agrees,
  r.n_cells AS n_cells, r.`null` AS `null`
