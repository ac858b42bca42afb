// name: pair_communication
// question: Which states may talk to which by a ligand or receptor?
// param ligand: string = "" — symbols of the ligand, subunits joined by _; empty for any
// param receptor: string = "" — symbols of the receptor, subunits joined by _; empty for any
// param limit: integer = 50 — most rows
// param dataset: string = "" — key of a data set; empty for all
// column source: string — key of the state that sends
// column source_label: string — its most frequent label
// column target: string — key of the state that receives
// column target_label: string — its most frequent label
// column ligand: string — symbols of the ligand, subunits joined by _
// column receptor: string — symbols of the receptor, subunits joined by _
// column score: float — geometric mean of the mean expression of both
// column specificity: float — score over its mean over all two states
// column q: float — Benjamini-Hochberg q, labels of cells permuted
// column decoy_q: float — q beside pairs of genes expressed alike
// column verdict: string — supported or specific_only
MATCH (s:State)-[r:COMMUNICATES_WITH]->(t:State)
WHERE ($ligand = '' OR r.ligand = $ligand) AND ($receptor = '' OR r.receptor = $receptor)
  AND ($dataset = '' OR r.dataset = $dataset)
WITH s, r, t
ORDER BY CASE WHEN r.verdict = 'supported' THEN 0 ELSE 1 END, r.q, r.score IS NULL,
  r.score DESC, s.key, t.key, r.ligand, r.receptor
LIMIT $limit
RETURN s.key AS source, s.label AS source_label, t.key AS target, t.label AS target_label,
  r.ligand AS ligand, r.receptor AS receptor, r.score AS score, r.specificity AS specificity,
  r.q AS q, r.decoy_q AS decoy_q, r.verdict AS verdict
