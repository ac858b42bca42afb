// name: modules_of_gene
// question: In which co-regulated modules is a gene?
// param gene: string — symbol or key of the gene
// column gene: string — key of the gene
// column module: string — key of the module
// column name: string — short name of the module
// column dataset: string — key of the data set
// column context: string — cells it was found in
// column size: integer — number of genes
// column strength: float — mean correlation with the other genes, [-1, 1]
// column stability: float — mean best-match Jaccard index over seeds, [0, 1]
MATCH (m:Gene)-[r:MEMBER_OF]->(p:Module)
WHERE m.symbol = $gene OR m.key = $gene
WITH m, r, p ORDER BY r.strength IS NULL, r.strength DESC, p.key, m.key
RETURN m.key AS gene, p.key AS module, p.name AS name, p.dataset AS dataset,
  p.context AS context, p.size AS size, r.strength AS strength, p.stability AS stability
