// name: path_genes
// question: Which genes rise or fall through an intermediate state?
// param state: string — key or name of the intermediate state (S1)
// param limit: integer = 20 — strongest genes of each path to return
// param dataset: string = "" — key of a data set; empty for all
// column state: string — key of the state
// column first: string — key of the end the path starts from, the lower of both
// column second: string — key of the end it leads to
// column gene: string — key of the gene
// column symbol: string — symbol of the gene
// column rho: float — Spearman correlation with the place on the path
// column q: float — Benjamini-Hochberg q
// column donors_agreeing: integer — donors in which it has that sign
// column n_donors: integer — donors asked, 0 when unknown
MATCH (s:State)-[r:MONOTONE_ALONG]->(m:Gene)
WHERE (s.key = $state OR s.name = $state) AND ($dataset = '' OR s.dataset = $dataset)
WITH s, r, m
ORDER BY s.key, r.first, r.second, r.rho IS NULL, abs(r.rho) DESC, m.key
WITH s, r.first AS first, r.second AS second, collect({r: r, m: m})[0..$limit] AS best
UNWIND best AS one
WITH s, first, second, one.r AS r, one.m AS m
ORDER BY s.key, first, second, r.rho IS NULL, abs(r.rho) DESC, m.key
RETURN s.key AS state, first, second, m.key AS gene, m.symbol AS symbol, r.rho AS rho, r.q AS q,
  r.donors_agreeing AS donors_agreeing, r.n_donors AS n_donors
