// name: shift_enrichment
// question: Which gene sets do the genes over-represent that rise between two conditions?
// param group: string — key or name of a state (S1), or label or key of a cell type
// param limit: integer = 10 — most rows
// param dataset: string = "" — key of a data set; empty for all
// column group: string — key of the state or label of the cell type
// column group_kind: string — State or CellType
// column of: string — the genes asked about, with the two conditions
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
MATCH (g:State|CellType)-[r:ENRICHED_IN]->(s:GeneSet)
WHERE (g.key = $group OR (g:State AND g.name = $group) OR (g:CellType AND g.label = $group))
  AND r.of <> 'markers' AND ($dataset = '' OR r.dataset = $dataset)
WITH CASE WHEN g:State THEN g.key ELSE g.label END AS group,
  CASE WHEN g:State THEN 'State' ELSE 'CellType' END AS group_kind, g.key AS group_key, r, s
ORDER BY r.q, r.p, group_kind DESC, group_key, r.of, s.key, r.dataset
LIMIT $limit
RETURN group, group_kind, r.of AS of, s.name AS gene_set, s.library AS library, r.overlap AS overlap,
  r.set_size AS set_size, r.query_size AS query_size, r.universe AS universe,
  r.odds_ratio AS odds_ratio, r.p AS p, r.q AS q, r.genes AS genes
