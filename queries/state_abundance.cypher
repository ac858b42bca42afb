// name: state_abundance
// question: Which states are more frequent under a condition or disease, and in how many donors?
// param dataset: string = "" — key of a data set; empty for all
// column state: string — key of the state
// column label: string — most frequent label of the state
// column value: string — the condition or disease asked about
// column reference: string — what it is compared with
// column share: float — mean share of the cells of a donor
// column share_reference: float — the same under the reference
// column donors_with: float — donors that have the state, where it is rare in the reference
// column donors_with_reference: float — the same under the reference
// column presence_q: float — q that fewer than two donors have it, where it is rare there
// column n_donors: integer — donors asked
// column p: float — p by exchanging conditions among donors
// column q: float — Benjamini-Hochberg q over all states
MATCH (s:State)-[r:DIFFERS_IN]->(v:Condition|Disease)
WHERE $dataset = '' OR s.dataset = $dataset
WITH s, r, v, labels(v)[0] AS kind ORDER BY r.q, s.key, v.key, r.reference, kind
RETURN s.key AS state, s.label AS label, v.label AS value, r.reference AS reference,
  r.share AS share, r.share_reference AS share_reference, r.donors_with AS donors_with,
  r.donors_with_reference AS donors_with_reference, r.presence_q AS presence_q,
  r.n_donors AS n_donors, r.p AS p, r.q AS q
