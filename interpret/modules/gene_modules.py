"""Modules of the genes of an AnnData object, in one call."""

from typing import TYPE_CHECKING

import numpy as np

from ..inputs import attention_of, gene_embedding_of, groups_of, log_expression
from .associations import Measure
from .contexts import ContextModules, context_modules

if TYPE_CHECKING:
    from anndata import AnnData


def gene_modules(
    adata: "AnnData",
    *,
    groupby: str | None = None,
    measure: Measure = "correlation",
    encoder: str = "cellvq",
    donor: str | None = None,
    layer: str | None = None,
    totals: str | None = None,
    n_genes: int = 1500,
    seed: int = 0,
    key_added: str | None = None,
) -> ContextModules:
    """Find modules of co-varying genes over all cells, and within groups of them.

    Parameters
    ----------
    adata
        Counts, or log1p of counts per 10,000.
    groupby
        Column of ``obs`` whose groups of at least 100 cells are contexts of their own.
    measure
        How pairs of genes are measured: ``correlation`` over cells, over metacells (``metacell``),
        of the attention of cells (``attention``), or the cosine of what cells attend to along with
        a gene (``context``); see :func:`~scypher.interpret.modules.contexts.context_modules`.
    encoder
        Name of the encoder whose slots the last two read.
    donor
        Column of ``obs`` with the donor: co-variation is asked for within donors, and modules are
        looked for again in halves of them.
    layer, totals
        As in :func:`~scypher.interpret.inputs.log_expression`.
    n_genes
        Most variable genes to test in each context.
    seed
        Of the permutations, communities, draws and splits.
    key_added
        Where given, ``adata.uns[key_added]`` gets the frames ``modules``, ``membership`` and
        ``contexts``, and ``adata.obsm["X_" + key_added]`` the eigengenes of context ``all``.

    Raises
    ------
    InputError
        There is no such layer or column, the cells are not encoded, or values are negative or not
        finite.
    """
    expression = log_expression(adata, layer=layer, totals=totals)
    by_attention = measure in ("attention", "context")
    labels, groups = (None, None) if groupby is None else groups_of(adata, groupby)
    result = context_modules(
        expression,
        measure=measure,
        attention=attention_of(adata, encoder) if by_attention else None,
        gene_vectors=gene_embedding_of(adata, encoder) if measure == "context" else None,
        groups=groups,
        labels=labels,
        donors=None if donor is None else groups_of(adata, donor)[1],
        genes=adata.var_names.astype(str).tolist(),
        rng=np.random.default_rng(seed),
        n_genes=n_genes,
    )
    if key_added is not None:
        frames = ("modules", "membership", "contexts")
        adata.uns[key_added] = {name: getattr(result, name) for name in frames}
        adata.obsm[f"X_{key_added}"] = result.eigengenes.set_axis(adata.obs_names)
    return result
