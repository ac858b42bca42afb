// name: states
// question: Which states are there?
// param dataset: string = "" — key of a data set; empty for all
// column state: string — key of the state
// column name: string — short name
// column level: integer — 1 coarse, 2 inside
// column parent: string — key of the coarser state, empty at level 1
// column size: integer — number of cells
// column label: string — most frequent label
// column label_share: float — share of cells with it
// column n_donors: integer — donors with cells here
// column dataset: string — key of the data set
MATCH (s:State) WHERE $dataset = '' OR s.dataset = $dataset
OPTIONAL MATCH (s)-[:PART_OF]->(parent:State)
WITH s, coalesce(parent.key, '') AS parent
ORDER BY s.dataset, s.level, s.size DESC, s.key
RETURN s.key AS state, s.name AS name, s.level AS level, parent, s.size AS size,
  s.label AS label, s.label_share AS label_share, s.n_donors AS n_donors, s.dataset AS dataset
