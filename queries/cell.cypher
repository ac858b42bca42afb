// name: cell
// question: What does the graph know of a cell?
// param cell: string — key or barcode of the cell
// column cell: string — key of the cell
// column dataset: string — key of the data set
// column code: integer — index of its code
// column probability: float — of the code
// column state: string — key of its state at level 1
// column substate: string — key of its state at level 2, empty where none
// column kind: string — label of a metadata node, such as CellType or Donor
// column label: string — the value
CALL {
  MATCH (c:Cell {key: $cell}) RETURN c
  UNION
  MATCH (c:Cell {barcode: $cell}) RETURN c
}
OPTIONAL MATCH (c)-[h:HAS_CODE]->(k:Code)
OPTIONAL MATCH (c)-[:IN_STATE]->(s:State {level: 1})
OPTIONAL MATCH (c)-[:IN_STATE]->(t:State {level: 2})
OPTIONAL MATCH (c)-[:ANNOTATED_AS|FROM_TISSUE|HAS_DISEASE|HAS_SEX|HAS_AGE|FROM_DONOR|FROM_BATCH|UNDER_CONDITION]->(v)
WITH c, h, k, s, t, v, CASE WHEN v IS NULL THEN '' ELSE labels(v)[0] END AS kind
ORDER BY c.key, kind, v.key, s.key, t.key, k.key
RETURN c.key AS cell, c.dataset AS dataset, k.index AS code, h.probability AS probability,
  coalesce(s.key, '') AS state, coalesce(t.key, '') AS substate, kind,
  coalesce(v.label, '') AS label
