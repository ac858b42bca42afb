// name: cell_map
// question: Where on the map is each cell, in which state, with which label?
// param dataset: string = "" — key of a data set; empty for all
// column cell: string — key of the cell
// column x: float — first coordinate
// column y: float — second coordinate
// column state: string — key of its state at level 1
// column label: string — its cell type, empty without labels
MATCH (c:Cell) WHERE $dataset = '' OR c.dataset = $dataset
OPTIONAL MATCH (c)-[:IN_STATE]->(s:State {level: 1})
OPTIONAL MATCH (c)-[:ANNOTATED_AS]->(t:CellType)
WITH c, s, t ORDER BY c.key, s.key, t.key
RETURN c.key AS cell, c.x AS x, c.y AS y, coalesce(s.key, '') AS state,
  coalesce(t.label, '') AS label
