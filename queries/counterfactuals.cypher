// name: counterfactuals
// question: Which genes, cut from the cells of a state, change their codes?
// param state: string — key or name of the state (S1)
// param dataset: string = "" — key of a data set; empty for all
// column state: string — key of the state
// column gene: string — key of the gene
// column symbol: string — symbol of the gene
// column flipped: float — share of cells whose code changes
// column state_flipped: float — share of cells whose state changes
// column null_mean: float — mean share of changed codes when matched genes are cut
// column z: float — z of the share under that null
// column p: float — permutation p, never 0
// column q: float — Benjamini-Hochberg q
// column goes_to: string — key of the state to which most of them go
// column to_share: float — share of the flipped cells that go there
// column n_cells: integer — cells asked
MATCH (s:State)-[r:FLIPS_WITHOUT]->(m:Gene)
WHERE (s.key = $state OR s.name = $state) AND ($dataset = '' OR s.dataset = $dataset)
WITH s, r, m ORDER BY s.key, r.q, r.flipped IS NULL, r.flipped DESC, m.key
RETURN s.key AS state, m.key AS gene, m.symbol AS symbol, r.flipped AS flipped,
  r.state_flipped AS state_flipped, r.null_mean AS null_mean, r.z AS z, r.p AS p, r.q AS q,
  r.goes_to AS goes_to, r.to_share AS to_share, r.n_cells AS n_cells
