// name: genes_of_module
// question: Which genes are in a module?
// param module: string — key or name of the module (M1)
// param dataset: string = "" — key of a data set; empty for all
// column module: string — key of the module
// column gene: string — key of the gene
// column symbol: string — symbol of the gene
// column strength: float — mean correlation with the other genes, [-1, 1]
MATCH (p:Module)
WHERE (p.key = $module OR p.name = $module) AND ($dataset = '' OR p.dataset = $dataset)
MATCH (m:Gene)-[r:MEMBER_OF]->(p)
WITH m, r, p ORDER BY p.key, r.strength IS NULL, r.strength DESC, m.key
RETURN p.key AS module, m.key AS gene, m.symbol AS symbol, r.strength AS strength
