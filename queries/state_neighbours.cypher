// name: state_neighbours
// question: Which states lie next to a state?
// param state: string — key or name of the state (S1)
// param dataset: string = "" — key of a data set; empty for all
// column state: string — key of the state
// column neighbour: string — key of the neighbour
// column label: string — most frequent label of the neighbour
// column connectivity: float — neighbour edges over those expected at random
MATCH (s:State)-[r:CONNECTED_TO]-(t:State)
WHERE (s.key = $state OR s.name = $state) AND ($dataset = '' OR s.dataset = $dataset)
WITH s, r, t ORDER BY s.key, r.connectivity IS NULL, r.connectivity DESC, t.key
RETURN s.key AS state, t.key AS neighbour, t.label AS label, r.connectivity AS connectivity
