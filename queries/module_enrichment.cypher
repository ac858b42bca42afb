// name: module_enrichment
// question: Which gene sets does a module over-represent?
// param module: string — key or name of the module (M1)
// param limit: integer = 10 — most rows
// param dataset: string = "" — key of a data set; empty for all
// column module: string — key of the module
// column gene_set: string — name of the set
// column library: string — library of the set
// column overlap: integer — genes in both
// column set_size: integer — measured genes of the set
// column query_size: integer — genes asked about
// column universe: integer — measured genes
// column odds_ratio: float — of the overlap
// column p: float — p value, never 0
// column q: float — Benjamini-Hochberg q
// column genes: strings — symbols of the genes in both
MATCH (p:Module)-[r:ENRICHED_IN]->(s:GeneSet)
WHERE (p.key = $module OR p.name = $module) AND ($dataset = '' OR p.dataset = $dataset)
WITH p, r, s ORDER BY r.q, r.p, p.key, r.of, s.key, r.dataset
LIMIT $limit
RETURN p.key AS module, s.name AS gene_set, s.library AS library, r.overlap AS overlap,
  r.set_size AS set_size, r.query_size AS query_size, r.universe AS universe,
  r.odds_ratio AS odds_ratio, r.p AS p, r.q AS q, r.genes AS genes
