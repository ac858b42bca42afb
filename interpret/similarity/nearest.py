"""Neighbours of a gene and analogies of genes in an encoded AnnData object, in one call."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...encoders.errors import InputError
from ..gene_names import gene_positions
from ..inputs import attention_of, gene_embedding_of, groups_of, log_expression
from ..statistics import Floats
from .gene_similarity import attended_contexts, gene_analogies, similar_genes

if TYPE_CHECKING:
    from anndata import AnnData


def nearest_genes(
    adata: "AnnData",
    gene: str,
    *,
    encoder: str = "cellvq",
    groupby: str | None = None,
    group: str | None = None,
    among: Sequence[str] | None = None,
    n: int = 20,
    n_null: int = 1000,
    layer: str | None = None,
    seed: int = 0,
    key_added: str | None = None,
) -> pd.DataFrame:
    """Return the genes that the encoder places next to a gene, in general or in a group of cells.

    In general: by the static embeddings of ``varm``. In a group: by what its cells attend to along
    with a gene (:func:`~scypher.interpret.similarity.gene_similarity.attended_contexts`). Null
    genes are like the gene in the norm of the embedding and in mean expression; in a group in
    attention and expression there.

    Parameters
    ----------
    adata
        Encoded cells (:func:`scypher.encode`).
    gene
        Name of a gene.
    encoder
        Name of the encoder whose slots are read.
    groupby, group
        Column of ``obs`` and one of its values, for neighbours in that group.
    among
        Names of the genes that may be neighbours, over which q is; all genes when not given.
    n
        Neighbours to return.
    n_null
        Null genes; all others where there are fewer.
    layer
        Layer with expression or counts, ``raw``, or ``X`` when not given.
    seed
        Of the null genes.
    key_added
        Key of ``uns`` to which the frame is written.

    Returns
    -------
    pandas.DataFrame
        The columns of :func:`~scypher.interpret.similarity.gene_similarity.similar_genes`, with
        names.

    Raises
    ------
    InputError
        The cells are not encoded, the gene is not measured or not read, or there is no such group.
    """
    names = adata.var_names.to_numpy(dtype=object)
    query = gene_positions([gene], list(names))
    asked = None if among is None else gene_positions(among, list(names))
    embedding, like = _described(adata, encoder, groupby, group, layer=layer)
    found = similar_genes(
        embedding,
        query,
        n=n,
        rng=np.random.default_rng(seed),
        n_null=n_null,
        like=like,
        among=asked,
    )
    return _named(adata, found, key_added)


def gene_analogy(
    adata: "AnnData",
    genes: Sequence[str],
    *,
    encoder: str = "cellvq",
    groupby: str | None = None,
    group: str | None = None,
    n: int = 20,
    n_null: int = 1000,
    layer: str | None = None,
    seed: int = 0,
    key_added: str | None = None,
) -> pd.DataFrame:
    """Return the genes that are to the third of three as the first is to the second.

    Parameters
    ----------
    adata, encoder, groupby, group, n, n_null, layer, seed, key_added
        As in :func:`nearest_genes`.
    genes
        Names of three genes ``a, b, c``; asked is what lies nearest to ``a - b + c``.

    Returns
    -------
    pandas.DataFrame
        The columns of :func:`~scypher.interpret.similarity.gene_similarity.gene_analogies`, with
        names.

    Raises
    ------
    InputError
        As :func:`nearest_genes`, a gene is given twice, or not three are given.
    """
    if isinstance(genes, str) or len(genes) != 3:
        message = (
            f"{genes!r} was given; expected three genes a, b, c, of which a is to b as what is "
            "asked is to c; name three."
        )
        raise InputError(message)
    places = gene_positions(list(genes), list(adata.var_names)).tolist()
    embedding, like = _described(adata, encoder, groupby, group, layer=layer)
    found = gene_analogies(
        embedding, *places, n=n, rng=np.random.default_rng(seed), n_null=n_null, like=like
    )
    return _named(adata, found, key_added)


def _described(
    adata: "AnnData", encoder: str, groupby: str | None, group: str | None, *, layer: str | None
) -> tuple[Floats, Floats]:
    """Return the embedding of every gene, and what null genes share with those asked about."""
    static = gene_embedding_of(adata, encoder)
    expression = log_expression(adata, layer=layer)
    if groupby is None and group is None:
        norm = np.linalg.norm(static, axis=1)
        return static, _standard(norm, np.asarray(expression.mean(axis=0)).ravel())
    if groupby is None or group is None:
        message = (
            f"groupby {groupby!r} with group {group!r} was given; expected both, or none for the "
            "neighbours in general; give the column of obs and one of its values."
        )
        raise InputError(message)
    attention = attention_of(adata, encoder)
    labels, groups = groups_of(adata, groupby)
    if group not in labels:
        message = (
            f"the group {group!r} was given; expected a value of {groupby!r}: "
            f"{', '.join(labels[:20])}; name one of them."
        )
        raise InputError(message)
    inside = np.flatnonzero(groups == labels.index(group))
    context, weight = attended_contexts(static, attention[inside])
    return context, _standard(weight, np.asarray(expression[inside].mean(axis=0)).ravel())


def _standard(*values: Floats) -> Floats:
    """Return logarithms of values, each scaled to its deviation."""
    columns = []
    for value in values:
        log = np.log(np.maximum(np.asarray(value, dtype=np.float64), 1e-6))
        columns.append((log - log.mean()) / max(float(log.std()), 1e-12))
    return np.stack(columns, axis=1)


def _named(adata: "AnnData", found: pd.DataFrame, key_added: str | None) -> pd.DataFrame:
    names = adata.var_names.to_numpy(dtype=object)
    for column in ("query", "gene"):
        if column in found:
            found[column] = names[found[column].to_numpy()]
    if key_added is not None:
        adata.uns[key_added] = found
    return found
