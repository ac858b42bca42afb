// name: similar_states
// question: Which states, of any data set, look like a state to the encoder?
// param state: string — key or name of the state (S1)
// param limit: integer = 10 — most rows of each state asked about
// param dataset: string = "" — key of a data set of the state; empty for all
// param others: boolean = false — only states of other data sets
// column state: string — key of the state
// column similar: string — key of the state that is like it, of the same level
// column label: string — most frequent label of that state
// column dataset: string — key of the data set of that state
// column size: integer — cells of that state
// column same_encoder: boolean — whether the same weights encoded both; else compare with care
// column similarity: float — cosine of the mean embeddings of their cells, [-1, 1]
MATCH (a:State)
WHERE (a.key = $state OR a.name = $state) AND ($dataset = '' OR a.dataset = $dataset)
  AND any(x IN a.embedding WHERE x <> 0.0)
MATCH (b:State)
WHERE b.key <> a.key AND b.level = a.level AND (NOT $others OR b.dataset <> a.dataset)
  AND size(b.embedding) = size(a.embedding) AND any(x IN b.embedding WHERE x <> 0.0)
MATCH (d:Dataset {key: a.dataset}), (e:Dataset {key: b.dataset})
WITH a, b, d.encoder_hash = e.encoder_hash AS same_encoder,
  range(0, size(a.embedding) - 1) AS places, a.embedding AS mine, b.embedding AS theirs
WITH a, b, same_encoder, reduce(dot = 0.0, i IN places | dot + mine[i] * theirs[i]) /
  sqrt(reduce(sum = 0.0, x IN mine | sum + x * x)
    * reduce(sum = 0.0, x IN theirs | sum + x * x))
  AS similarity
ORDER BY a.key, similarity DESC, b.key
WITH a, collect({b: b, same_encoder: same_encoder, similarity: similarity})[0..$limit] AS best
UNWIND best AS one
WITH a, one.b AS b, one.same_encoder AS same_encoder, one.similarity AS similarity
ORDER BY a.key, similarity DESC, b.key
RETURN a.key AS state, b.key AS similar, b.label AS label, b.dataset AS dataset, b.size AS size,
  same_encoder, similarity
