// name: similar_codes
// question: Which codes lie next to a code in the codebook?
// param code: string — key of the code
// param limit: integer = 10 — most rows
// column code: string — key of the other code, of the same codebook
// column index: integer — its index in the codebook
// column usage: float — share of cells with it, [0, 1]
// column similarity: float — cosine of both codebook vectors, [-1, 1]
MATCH (a:Code {key: $code}) WHERE any(x IN a.vector WHERE x <> 0.0)
MATCH (b:Code)
WHERE b.key <> a.key AND split(b.key, ':')[0] = split(a.key, ':')[0]
  AND size(b.vector) = size(a.vector) AND any(x IN b.vector WHERE x <> 0.0)
WITH b, range(0, size(a.vector) - 1) AS places, a.vector AS mine, b.vector AS theirs
WITH b, reduce(dot = 0.0, i IN places | dot + mine[i] * theirs[i]) /
  sqrt(reduce(sum = 0.0, x IN mine | sum + x * x)
    * reduce(sum = 0.0, x IN theirs | sum + x * x))
  AS similarity
ORDER BY similarity DESC, b.key
LIMIT $limit
RETURN b.key AS code, b.index AS index, b.usage AS usage, similarity
