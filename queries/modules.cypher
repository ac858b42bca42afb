// name: modules
// question: Which modules are there?
// param dataset: string = "" — key of a data set; empty for all
// column module: string — key of the module
// column name: string — short name of the module
// column dataset: string — key of the data set
// column context: string — cells it was found in
// column size: integer — number of genes
// column n_cells: integer — number of those cells
// column stability: float — mean best-match Jaccard index over seeds, [0, 1]
// column donor_stability: float — the same over halves of the donors, none below 4 donors
// column mean_weight: float — mean correlation among its genes
// column null_q: float — q that random genes of like expression reach that
MATCH (p:Module) WHERE $dataset = '' OR p.dataset = $dataset
WITH p ORDER BY p.dataset, p.size DESC, p.key
RETURN p.key AS module, p.name AS name, p.dataset AS dataset, p.context AS context,
  p.size AS size, p.n_cells AS n_cells, p.stability AS stability,
  p.donor_stability AS donor_stability, p.mean_weight AS mean_weight, p.null_q AS null_q
