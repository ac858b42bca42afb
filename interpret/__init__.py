"""Evidence and answers: the main job, the report, and each question about cells in one call."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .communication.groups import cell_communication
    from .communication.ligand_receptor import read_pairs
    from .communication.spatial import spot_communication
    from .explanation.explain import explain_cell, explain_state
    from .explanation.gathered import Explanation
    from .gene_sets.activity import gene_set_activity
    from .gene_sets.enrichment import gene_set_enrichment
    from .gene_sets.library import read_gmt
    from .gene_sets.overlap import representative_sets
    from .gene_sets.species import read_orthologs, translate
    from .markers.consensus_markers import consensus_markers
    from .markers.ranked_genes import marker_genes
    from .modules.gene_modules import gene_modules
    from .modules.module_changes import module_changes
    from .networks.links import regulatory_network
    from .networks.regulon_agreement import regulon_agreement
    from .networks.regulons import read_regulons
    from .options import Options
    from .perturbation.changes import Perturbation
    from .perturbation.perturbed_genes import perturb_genes
    from .pipeline import BuildResult
    from .similarity.nearest import gene_analogy, nearest_genes
    from .verbs import build

__all__ = [
    "BuildResult",
    "Explanation",
    "Options",
    "Perturbation",
    "build",
    "cell_communication",
    "consensus_markers",
    "explain_cell",
    "explain_state",
    "gene_analogy",
    "gene_modules",
    "gene_set_activity",
    "gene_set_enrichment",
    "marker_genes",
    "module_changes",
    "nearest_genes",
    "perturb_genes",
    "read_gmt",
    "read_orthologs",
    "read_pairs",
    "read_regulons",
    "regulatory_network",
    "regulon_agreement",
    "representative_sets",
    "spot_communication",
    "translate",
]

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "communication.groups": ["cell_communication"],
        "communication.ligand_receptor": ["read_pairs"],
        "communication.spatial": ["spot_communication"],
        "explanation.explain": ["explain_cell", "explain_state"],
        "explanation.gathered": ["Explanation"],
        "gene_sets.activity": ["gene_set_activity"],
        "gene_sets.enrichment": ["gene_set_enrichment"],
        "gene_sets.library": ["read_gmt"],
        "gene_sets.overlap": ["representative_sets"],
        "gene_sets.species": ["read_orthologs", "translate"],
        "markers.consensus_markers": ["consensus_markers"],
        "markers.ranked_genes": ["marker_genes"],
        "modules.gene_modules": ["gene_modules"],
        "modules.module_changes": ["module_changes"],
        "networks.links": ["regulatory_network"],
        "networks.regulon_agreement": ["regulon_agreement"],
        "networks.regulons": ["read_regulons"],
        "options": ["Options"],
        "perturbation.changes": ["Perturbation"],
        "perturbation.perturbed_genes": ["perturb_genes"],
        "pipeline": ["BuildResult"],
        "similarity.nearest": ["gene_analogy", "nearest_genes"],
        "verbs": ["build"],
    },
)
