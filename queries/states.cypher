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
// column label_outcome: string — label, ambiguous, abstain, or not tested, by conformal prediction
// column label_confidence: float — conformal confidence in the label
// column stability: float — mean best-match Jaccard index over resampled cells
// column n_donors: integer — donors with cells here
// column dataset: string — key of the data set
MATCH (s:State) WHERE $dataset = '' OR s.dataset = $dataset
OPTIONAL MATCH (s)-[:PART_OF]->(parent:State)
WITH s, coalesce(parent.key, '') AS parent
ORDER BY s.dataset, s.level, s.size DESC, s.key, parent
RETURN s.key AS state, s.name AS name, s.level AS level, parent, s.size AS size,
  s.label AS label, s.label_share AS label_share, s.label_outcome AS label_outcome,
  s.label_confidence AS label_confidence, s.stability AS stability, s.n_donors AS n_donors,
  s.dataset AS dataset
