// name: intermediate_states
// question: Which states lie between two others, and what was tested?
// param dataset: string = "" — key of a data set; empty for all
// column state: string — key of the state
// column label: string — its most frequent label
// column first: string — key of one end, the lower of both
// column second: string — key of the other end
// column verdict: string — certified or provisional
// column connectivity: float — the smaller of its connectivities to both ends
// column soft_first: float — mean soft probability of its cells for the first end
// column soft_second: float — mean soft probability of its cells for the second end
// column doublet_score: float — mean doublet score of its cells
// column library_ratio: float — median library size over the sum of those of both ends
// column mixture_r2: float — share of its profile that a mixture of both ends explains
// column own_genes: integer — genes higher in it than in both ends
// column n_cells: integer — cells of the state
// column n_donors: integer — donors of the state, 0 when unknown
// column p: float — p of the soft probabilities
// column q: float — Benjamini-Hochberg q over all candidates
// column reason: string — what stands against it or could not be tested
MATCH (s:State)-[r:INTERMEDIATE_BETWEEN]->(a:State), (s)-[t:INTERMEDIATE_BETWEEN]->(b:State)
WHERE r.other = b.key AND t.other = a.key AND a.key < b.key
  AND ($dataset = '' OR s.dataset = $dataset)
WITH s, r, t, a, b ORDER BY r.connectivity IS NULL, r.connectivity DESC, s.key, a.key, b.key
RETURN s.key AS state, s.label AS label, a.key AS first, b.key AS second, r.verdict AS verdict,
  r.connectivity AS connectivity, r.soft AS soft_first, t.soft AS soft_second,
  r.doublet_score AS doublet_score, r.library_ratio AS library_ratio,
  r.mixture_r2 AS mixture_r2, r.own_genes AS own_genes, r.n_cells AS n_cells,
  r.n_donors AS n_donors, r.p AS p, r.q AS q, r.reason AS reason
