"""One reference answer for every query file, by its name."""

from collections.abc import Callable

from reference import cells, genes, groups, marks, search, signals
from reference.walk import Row

Answer = Callable[..., list[Row]]
"""Takes a view and the parameters of the query; returns its rows in its order."""

ANSWERS: dict[str, Answer] = {
    answer.__name__: answer
    for answer in (
        cells.attended_genes,
        cells.cell,
        cells.cell_map,
        cells.datasets,
        cells.expressed_genes,
        cells.summary,
        genes.gene_path,
        genes.genes_of_module,
        genes.modules,
        genes.modules_of_gene,
        genes.regulation,
        genes.regulators,
        groups.counterfactuals,
        groups.intermediate_states,
        groups.path_genes,
        groups.state_abundance,
        groups.state_attention,
        groups.state_composition,
        groups.state_neighbours,
        groups.states,
        marks.marker_baselines,
        marks.marker_evidence,
        marks.markers,
        marks.module_enrichment,
        marks.shared_markers,
        marks.shift_enrichment,
        marks.shifted_genes,
        marks.state_enrichment,
        marks.states_marked_by,
        search.find_gene_sets,
        search.find_genes,
        search.similar_codes,
        search.similar_genes,
        search.similar_states,
        signals.communication,
        signals.pair_communication,
    )
}
