// name: communication
// question: By which ligands and receptors may a state talk to another?
// param source: string — key or name of the state that sends (S1)
// param target: string — key or name of the state that receives
// param limit: integer = 50 — most rows
// param dataset: string = "" — key of a data set; empty for all
// column source: string — key of the state that sends
// column target: string — key of the state that receives
// column ligand: string — symbols of the ligand, subunits joined by _
// column receptor: string — symbols of the receptor, subunits joined by _
// column pathway: string — as the pair table says, or empty
// column score: float — geometric mean of the mean expression of both
// column specificity: float — score over its mean over all two states
// column q: float — Benjamini-Hochberg q, labels of cells permuted
// column decoy_q: float — q beside pairs of genes expressed alike
// column donors_agreeing: integer — donors in which the score is above their mean
// column n_donors: integer — donors asked, 0 when unknown
// column verdict: string — supported or specific_only
MATCH (s:State)-[r:COMMUNICATES_WITH]->(t:State)
WHERE (s.key = $source OR s.name = $source) AND (t.key = $target OR t.name = $target)
  AND ($dataset = '' OR r.dataset = $dataset)
WITH s, r, t
ORDER BY CASE WHEN r.verdict = 'supported' THEN 0 ELSE 1 END, r.q, r.score IS NULL,
  r.score DESC, s.key, t.key, r.ligand, r.receptor
LIMIT $limit
RETURN s.key AS source, t.key AS target, r.ligand AS ligand, r.receptor AS receptor,
  r.pathway AS pathway, r.score AS score, r.specificity AS specificity, r.q AS q,
  r.decoy_q AS decoy_q, r.donors_agreeing AS donors_agreeing, r.n_donors AS n_donors,
  r.verdict AS verdict
