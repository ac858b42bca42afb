"""Modules of the genes of an AnnData object, in one call."""

from typing import TYPE_CHECKING

import numpy as np

from ..inputs import groups_of, log_expression
from .contexts import ContextModules, context_modules

if TYPE_CHECKING:
    from anndata import AnnData


def gene_modules(
    adata: "AnnData",
    *,
    groupby: str | None = None,
    donor: str | None = None,
    layer: str | None = None,
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
    donor
        Column of ``obs`` with the donor: co-variation is asked for within donors, and modules are
        looked for again in halves of them.
    layer
        Layer to read, ``raw`` for ``adata.raw``, ``X`` when not given.
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
        There is no such layer or column, or values are negative or not finite.
    """
    expression = log_expression(adata, layer=layer)
    labels, groups = (None, None) if groupby is None else groups_of(adata, groupby)
    result = context_modules(
        expression,
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
