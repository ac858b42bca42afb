// name: datasets
// question: Which data sets are in the graph, and how were they made?
// column dataset: string — key of the data set
// column content_hash: string — SHA-256 of the data
// column source: string — name of the file
// column encoder: string — name of the encoder
// column encoder_hash: string — SHA-256 of its weights
// column parameters: string — of the run, as JSON
// column quality: string — measures beside their baselines, as JSON
// column faithfulness: string — tests of what attention explains, as JSON
// column notes: string — what was left out, mapped or skipped, as JSON
// column code_version: string — version of Scypher
// column n_cells: integer — cells in the graph
// column n_genes: integer — measured genes
// column time: string — when it was written, UTC
// column complete: boolean — false after a write that broke off
// column stale: string — why computed values no longer hold of its cells, empty while they do
MATCH (d:Dataset)
WITH d ORDER BY d.key
RETURN d.key AS dataset, d.content_hash AS content_hash, d.source AS source,
  d.encoder AS encoder, d.encoder_hash AS encoder_hash, d.parameters AS parameters,
  d.quality AS quality, d.faithfulness AS faithfulness, d.notes AS notes, d.code_version AS code_version,
  d.n_cells AS n_cells, d.n_genes AS n_genes, d.time AS time,
  coalesce(d.complete, false) AS complete, coalesce(d.stale, '') AS stale
