// name: regulators
// question: Which transcription factors vary with their targets as a resource says?
// param limit: integer = 50 — most rows
// param dataset: string = "" — key of a data set; empty for all
// column regulator: string — key of the transcription factor
// column symbol: string — its symbol
// column resource: string — resource of its targets
// column context: string — cells that were asked
// column n_targets: integer — measured targets
// column n_correlated: integer — those with q < 0.05
// column n_agreeing: integer — of these, with the sign of the resource
// column n_contrary: integer — of these, with the other sign
// column targets: strings — symbols of the five targets of the smallest q
MATCH (f:Gene)-[r:REGULATES]->(m:Gene)
WHERE $dataset = '' OR r.dataset = $dataset
WITH f, r, m ORDER BY r.correlation_q IS NULL, r.correlation_q, m.key
WITH f, r.dataset AS dataset, r.resource AS resource, r.context AS context,
  count(*) AS n_targets,
  sum(CASE WHEN r.correlation_q < 0.05 THEN 1 ELSE 0 END) AS n_correlated,
  sum(CASE WHEN r.sign_agrees = 'yes' THEN 1 ELSE 0 END) AS n_agreeing,
  sum(CASE WHEN r.sign_agrees = 'no' THEN 1 ELSE 0 END) AS n_contrary,
  collect(m.symbol) AS symbols
ORDER BY n_agreeing DESC, n_correlated DESC, n_targets, f.key, dataset, context, resource
LIMIT $limit
RETURN f.key AS regulator, f.symbol AS symbol, resource, context, n_targets, n_correlated,
  n_agreeing, n_contrary, symbols[0..5] AS targets
