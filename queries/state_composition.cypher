// name: state_composition
// question: Of which labels, donors and other metadata is a state made?
// param state: string — key or name of the state (S1)
// param dataset: string = "" — key of a data set; empty for all
// column state: string — key of the state
// column kind: string — label of the metadata node, such as CellType or Donor
// column label: string — the value
// column n_cells: integer — cells of the state with the value
// column share: float — of the cells of the state, [0, 1]
MATCH (s:State)
WHERE (s.key = $state OR s.name = $state) AND ($dataset = '' OR s.dataset = $dataset)
MATCH (c:Cell)-[:IN_STATE]->(s)
MATCH (c)-[:ANNOTATED_AS|FROM_TISSUE|HAS_DISEASE|HAS_SEX|HAS_AGE|FROM_DONOR|FROM_BATCH|UNDER_CONDITION]->(v)
WITH s, labels(v)[0] AS kind, v.key AS value, v.label AS label, count(*) AS n_cells
ORDER BY s.key, kind, n_cells DESC, value
RETURN s.key AS state, kind, label, n_cells, toFloat(n_cells) / s.size AS share
