"""Evidence and answers: the main job, the report, and each question about cells in one call."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .communication import cell_communication
    from .enrichment import gene_set_enrichment
    from .explanation import Explanation, explain_cell, explain_state
    from .gene_sets import read_gmt
    from .ligand_receptor import read_pairs
    from .module_contexts import gene_modules
    from .nearest import gene_analogy, nearest_genes
    from .networks import regulatory_network
    from .options import Options
    from .perturbation import Perturbation
    from .perturbed_genes import perturb_genes
    from .pipeline import BuildResult
    from .ranked_genes import marker_genes
    from .regulons import read_regulons
    from .set_activity import gene_set_activity
    from .set_overlap import representative_sets
    from .spatial_communication import spot_communication
    from .species import read_orthologs, translate
    from .verbs import build

__all__ = [
    "BuildResult",
    "Explanation",
    "Options",
    "Perturbation",
    "build",
    "cell_communication",
    "explain_cell",
    "explain_state",
    "gene_analogy",
    "gene_modules",
    "gene_set_activity",
    "gene_set_enrichment",
    "marker_genes",
    "nearest_genes",
    "perturb_genes",
    "read_gmt",
    "read_orthologs",
    "read_pairs",
    "read_regulons",
    "regulatory_network",
    "representative_sets",
    "spot_communication",
    "translate",
]

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "communication": ["cell_communication"],
        "enrichment": ["gene_set_enrichment"],
        "explanation": ["Explanation", "explain_cell", "explain_state"],
        "gene_sets": ["read_gmt"],
        "ligand_receptor": ["read_pairs"],
        "module_contexts": ["gene_modules"],
        "nearest": ["gene_analogy", "nearest_genes"],
        "networks": ["regulatory_network"],
        "options": ["Options"],
        "perturbation": ["Perturbation"],
        "perturbed_genes": ["perturb_genes"],
        "pipeline": ["BuildResult"],
        "ranked_genes": ["marker_genes"],
        "regulons": ["read_regulons"],
        "set_activity": ["gene_set_activity"],
        "set_overlap": ["representative_sets"],
        "spatial_communication": ["spot_communication"],
        "species": ["read_orthologs", "translate"],
        "verbs": ["build"],
    },
)
