// name: state_attention
// question: Which metadata do the cells of a state attend to?
// param state: string — key or name of the state (S1)
// param dataset: string = "" — key of a data set; empty for all
// column state: string — key of the state
// column kind: string — label of the metadata node
// column label: string — the value
// column weight: float — mean attention, 1 = uniform
// column lift: float — over that of the other states
// column z: float — z under the permutation null
// column q: float — Benjamini-Hochberg q
// column n_cells: integer — cells of the state with the value
MATCH (s:State)-[r:ATTENDS_TO]->(v:CellType|Tissue|Disease|Sex|AgeGroup|Donor|Batch|Condition)
WHERE (s.key = $state OR s.name = $state) AND ($dataset = '' OR s.dataset = $dataset)
WITH s, r, v, labels(v)[0] AS kind
ORDER BY s.key, r.weight IS NULL, r.weight DESC, kind, v.key
RETURN s.key AS state, kind, v.label AS label, r.weight AS weight,
  r.lift AS lift, r.z AS z, r.q AS q, r.n_cells AS n_cells
