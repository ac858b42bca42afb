// name: similar_genes
// question: Which genes does the encoder place next to a gene?
// param gene: string — symbol or key of the gene
// param limit: integer = 10 — most rows; 300 at the most
// column gene: string — key of the gene
// column symbol: string — symbol of the gene
// column similarity: float — cosine of both embeddings, [-1, 1]
// The gene itself is left out, and so are embeddings of another size: they are of another encoder.
// The engine's own cosine is of single precision: it chooses, and the exact one ranks.
MATCH (a:Gene) WHERE (a.key = $gene OR a.symbol = $gene) AND any(x IN a.embedding WHERE x <> 0.0)
WITH a ORDER BY a.key <> $gene, a.key LIMIT 1
MATCH (m:Gene)
WHERE m.key <> a.key AND size(m.embedding) = size(a.embedding)
  AND any(x IN m.embedding WHERE x <> 0.0)
WITH a.embedding AS mine, m, vector.similarity.cosine(a.embedding, m.embedding) AS near
ORDER BY near DESC, m.key
LIMIT 350
WITH m, range(0, size(mine) - 1) AS places, mine, m.embedding AS theirs
WITH m, reduce(dot = 0.0, i IN places | dot + mine[i] * theirs[i]) /
  sqrt(reduce(sum = 0.0, x IN mine | sum + x * x)
    * reduce(sum = 0.0, x IN theirs | sum + x * x))
  AS similarity
ORDER BY similarity DESC, m.key
LIMIT 300
WITH m, similarity ORDER BY similarity DESC, m.key
LIMIT $limit
RETURN m.key AS gene, m.symbol AS symbol, similarity
