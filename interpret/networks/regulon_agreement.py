"""How far methods of finding links agree with a resource, of an AnnData object, in one call."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..inputs import attention_of, gene_embedding_of, groups_of, log_expression
from ..modules.strata import depth_strata
from .agreement import network_agreement
from .regulons import Regulons, regulons_of

if TYPE_CHECKING:
    from anndata import AnnData


def regulon_agreement(
    adata: "AnnData",
    regulons: Regulons | str | Path,
    *,
    encoder: str | None = None,
    donor: str | None = None,
    layer: str | None = None,
    totals: str | None = None,
    max_genes: int = 2_000,
    max_targets: int = 200,
    seed: int = 0,
    key_added: str | None = None,
) -> pd.DataFrame:
    """Set methods of finding links side by side: which rank the links of a resource first?

    Parameters
    ----------
    adata
        The cells.
    regulons
        The resource: a file, or of :func:`~scypher.interpret.networks.regulons.read_regulons`.
    encoder
        Name of the encoder whose attention and gene embeddings in the slots are compared too.
    donor
        Column of ``obs`` with the donors, within which genes are correlated.
    layer, totals
        As in :func:`~scypher.interpret.inputs.log_expression`.
    max_genes
        Genes of the resource to rank, those detected in most cells.
    max_targets
        Targets to explain.
    seed
        Of targets, cells, metacells and trees.
    key_added
        Key of ``uns`` to which the frame is written.

    Returns
    -------
    pandas.DataFrame
        The columns of :func:`~scypher.interpret.networks.agreement.resource_agreement`, a row per
        method: correlation, metacells, with an encoder its attention, embeddings and contexts,
        trees, and the number of links of the factor, which a method must beat.

    Raises
    ------
    InputError
        There is no such column or layer, the cells are not encoded, the resource is of another
        species, or no link of it is measured.
    """
    resource = regulons_of(regulons)
    expression = log_expression(adata, layer=layer, totals=totals)
    donors = None if donor is None else groups_of(adata, donor)[1]
    table = network_agreement(
        expression,
        resource,
        names=adata.var_names.astype(str).tolist(),
        rng=np.random.default_rng(seed),
        strata=depth_strata(np.diff(expression.indptr), donors),
        donors=donors,
        attention=None if encoder is None else attention_of(adata, encoder),
        gene_vectors=None if encoder is None else gene_embedding_of(adata, encoder),
        max_genes=max_genes,
        max_targets=max_targets,
    )
    if key_added is not None:
        adata.uns[key_added] = table
    return table
