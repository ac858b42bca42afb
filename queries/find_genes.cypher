// name: find_genes
// question: Which genes have this in their symbol?
// param text: string — symbol, key, or a part of the symbol; case does not matter
// param limit: integer = 10 — most rows
// column gene: string — key of the gene
// column symbol: string — symbol of the gene
// column gene_class: string — class by annotation, such as protein_coding
// column match: string — exact, prefix or part
WITH toLower($text) AS text
MATCH (m:Gene) WHERE text <> '' AND (toLower(m.symbol) CONTAINS text OR toLower(m.key) = text)
WITH m, CASE
  WHEN toLower(m.symbol) = text OR toLower(m.key) = text THEN 0
  WHEN toLower(m.symbol) STARTS WITH text THEN 1
  ELSE 2 END AS place
ORDER BY place, size(m.symbol), m.symbol, m.key
LIMIT $limit
RETURN m.key AS gene, m.symbol AS symbol, m.gene_class AS gene_class,
  ['exact', 'prefix', 'part'][place] AS match
