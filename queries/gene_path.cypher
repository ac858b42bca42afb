// name: gene_path
// question: By which co-regulated genes are two genes linked?
// param first: string — symbol or key of a gene
// param second: string — symbol or key of another gene
// column step: integer — place on the path, from 0
// column gene: string — key of the gene
// column symbol: string — symbol of the gene
// column weight: float — correlation with the gene of the next step, unknown at the end
// Of all shortest paths the one with the largest sum of correlations (an unknown one is worse than
// any other), then the first by keys.
MATCH (a:Gene) WHERE a.symbol = $first OR a.key = $first
WITH a ORDER BY a.key LIMIT 1
MATCH (b:Gene) WHERE (b.symbol = $second OR b.key = $second) AND b.key <> a.key
WITH a, b ORDER BY b.key LIMIT 1
MATCH path = allShortestPaths((a)-[:CO_REGULATED_WITH*..12]-(b))
WITH nodes(path) AS genes, relationships(path) AS links
WITH genes, links, reduce(sum = 0.0, link IN links | sum + coalesce(link.correlation, -2.0)) AS strength,
  reduce(text = '', gene IN genes | text + gene.key + ' ') AS keys
ORDER BY strength DESC, keys
LIMIT 1
UNWIND range(0, size(genes) - 1) AS step
WITH step, genes[step] AS m,
  CASE WHEN step < size(links) THEN links[step].correlation ELSE null END AS weight
RETURN step, m.key AS gene, m.symbol AS symbol, weight
ORDER BY step
