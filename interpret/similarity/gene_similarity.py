"""Which genes an encoder places next to a gene, which genes complete an analogy, beside chance.

Static embeddings are those of the pretrained encoder: they tell which genes it was trained to treat
alike, over all tissues of its corpus. The context of a gene is computed from attention:
see :func:`attended_contexts`.
"""

import numpy as np
import pandas as pd
import scipy.sparse as sp

from ...encoders.errors import InputError
from ..statistics import Floats, Ints, adjust, tidy

_LEAST = 1e-12
_POOL = 2


def similar_genes(
    embedding: Floats,
    query: Ints,
    *,
    n: int = 20,
    rng: np.random.Generator,
    n_null: int = 1000,
    like: Floats | None = None,
    among: Ints | None = None,
) -> pd.DataFrame:
    """Return the genes whose embeddings point most nearly the same way as that of a gene.

    Null of a neighbour: it is as near to a gene that is like the query. ``n_null`` genes are drawn
    among those nearest to the query in ``like``; with ``b`` of them whose cosine to the neighbour
    is at least as large, ``p = (b + 1) / (n_null + 1)``. A gene near to all others is thereby no
    finding. q is Benjamini-Hochberg over all genes of all queries, not over those returned alone,
    which are chosen for being near; ask about few by ``among`` where they are known beforehand.

    Parameters
    ----------
    embedding
        (n_genes, width); genes with zeros alone are left out.
    query
        Positions of the genes asked about.
    n
        Neighbours to return of each.
    rng
        Draws the null genes.
    n_null
        Null genes; all others where there are fewer.
    like
        (n_genes, k) what null genes share with the query, such as mean expression, each scaled to
        its deviation; the logarithm of the norm of the embedding when not given.
    among
        Positions of the genes that may be neighbours; all when not given. Null genes are of all.

    Returns
    -------
    pandas.DataFrame
        One row per query and neighbour, nearest first: ``query``, ``gene`` (positions), ``rank``
        (from 1), ``similarity`` (cosine, in [-1, 1]), ``null_mean``, ``null_sd``, ``z`` (missing
        where the null does not vary), ``p``, ``q``, ``n_null``.

    Raises
    ------
    InputError
        If a gene has no embedding, a number is below 1, or there are fewer than three genes.
    """
    unit, present = _unit(embedding)
    _check(present, query, n, n_null)
    places = _places(unit, present, embedding, like)
    asked = present if among is None else np.intersect1d(present, among)
    if not len(asked):
        message = (
            "no gene to be a neighbour was given; expected positions of genes with an embedding; "
            "take genes that the encoder reads."
        )
        raise InputError(message)
    parts = []
    for gene in query.tolist():
        null = _drawn(places, present, gene, exclude=np.array([gene]), n_null=n_null, rng=rng)
        found = _beside(unit, unit[gene], unit[null], asked[asked != gene], own=null)
        parts.append(found.assign(query=gene))
    return _nearest(parts, n, ["query"])


def gene_analogies(
    embedding: Floats,
    a: int,
    b: int,
    c: int,
    *,
    n: int = 20,
    rng: np.random.Generator,
    n_null: int = 1000,
    like: Floats | None = None,
) -> pd.DataFrame:
    """Return the genes nearest to ``a - b + c``: what is to ``c`` as ``a`` is to ``b``.

    Unit vectors are added and subtracted (Mikolov et al. 2013, NAACL-HLT); the three genes are left
    out. Null: the same with two other genes in place of ``a`` and ``b``, one like each, ``c``
    kept. What lies next to ``c`` anyway is thereby no finding.

    Parameters
    ----------
    embedding, n, rng, n_null, like
        As in :func:`similar_genes`.
    a, b, c
        Positions of three genes.

    Returns
    -------
    pandas.DataFrame
        As :func:`similar_genes`, without ``query``; q over all genes but the three.

    Raises
    ------
    InputError
        As :func:`similar_genes`, or if a gene is given twice.
    """
    unit, present = _unit(embedding)
    asked = np.array([a, b, c])
    _check(present, asked, n, n_null)
    if len(set(asked.tolist())) < 3:
        message = (
            f"the genes at {asked.tolist()} were given; expected three different ones; an analogy "
            "of a gene with itself says nothing: take others."
        )
        raise InputError(message)
    places = _places(unit, present, embedding, like)
    first, second = (
        _drawn(places, present, gene, exclude=asked, n_null=n_null, rng=rng) for gene in (a, b)
    )
    null = unit[first] - unit[second] + unit[c]
    others = present[~np.isin(present, asked)]
    target = unit[a] - unit[b] + unit[c]
    found = _beside(unit, _scaled(target[None])[0], _scaled(null), others, own=first, also=second)
    return _nearest([found], n, [])


def attended_contexts(embedding: Floats, attention: sp.csr_matrix) -> tuple[Floats, Floats]:
    r"""Return the context of every gene in some cells: what cells attend to along with it.

    With the attention :math:`a_{cg}` of cell :math:`c` to gene :math:`g`, as a share of all its
    attention, and static embeddings :math:`e_h`,

    .. math::

        x_g = \frac{\sum_c a_{cg} \sum_{h \ne g} a_{ch} e_h}{\sum_c a_{cg} (1 - a_{cg})}
              - \bar x

    less the mean :math:`\bar x` over genes by attention, since all genes of like cells share most
    of their context. It is a profile of co-attention, no hidden state of the encoder: the encoder
    has one vector a gene, whatever the cell.

    Parameters
    ----------
    embedding
        (n_genes, width) static embeddings.
    attention
        CSR (n_cells, n_genes), at least 0, of the cells of a state.

    Returns
    -------
    contexts
        (n_genes, width), zeros for genes without attention.
    weight
        (n_genes,) summed shares of attention of each gene.
    """
    total = np.asarray(attention.sum(axis=1), dtype=np.float64).ravel()
    share = sp.csr_matrix(attention.multiply(1 / np.maximum(total, _LEAST)[:, None]))
    square = np.asarray(share.multiply(share).sum(axis=0), dtype=np.float64).ravel()
    weight = np.asarray(share.sum(axis=0), dtype=np.float64).ravel()
    static = np.asarray(embedding, dtype=np.float64)
    along = share.T @ (share @ static) - square[:, None] * static
    rest = weight - square
    known = rest > _LEAST
    context = np.where(known[:, None], along / np.where(known, rest, 1)[:, None], 0)
    mean = weight[known] @ context[known] / max(weight[known].sum(), _LEAST)
    context[known] -= mean
    return context, weight


def _unit(embedding: Floats) -> tuple[Floats, Ints]:
    values = np.asarray(embedding, dtype=np.float64)
    return _scaled(values), np.flatnonzero(np.linalg.norm(values, axis=1) > _LEAST)


def _scaled(vectors: Floats) -> Floats:
    scaled: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), _LEAST)
    return scaled


def _check(present: Ints, query: Ints, n: int, n_null: int) -> None:
    lost = query[~np.isin(query, present)].tolist()
    if lost or len(present) <= len(query) + 1 or not len(query) or min(n, n_null) < 1:
        message = (
            f"genes at {query.tolist()}, n {n} and n_null {n_null} were given, of {len(present)} "
            f"genes with an embedding{f', not {lost[:5]}' if lost else ''}; expected genes with an "
            "embedding, others to compare with, and numbers of at least 1; take genes that the "
            "encoder reads, and that some cell of the group attends to."
        )
        raise InputError(message)


def _places(unit: Floats, present: Ints, embedding: Floats, like: Floats | None) -> Floats:
    """Return what genes are matched by, (n_genes, k)."""
    if like is not None:
        return np.asarray(like, dtype=np.float64)
    norm = np.linalg.norm(np.asarray(embedding, dtype=np.float64), axis=1)
    size: Floats = np.log(np.maximum(norm, _LEAST))[:, None]
    return size


def _drawn(
    places: Floats,
    present: Ints,
    gene: int,
    *,
    exclude: Ints,
    n_null: int,
    rng: np.random.Generator,
) -> Ints:
    """Return null genes, drawn from twice as many that are most like a gene."""
    others = present[~np.isin(present, exclude)]
    distance = np.linalg.norm(places[others] - places[gene], axis=1)
    pool = others[np.argsort(distance, kind="stable")[: _POOL * n_null]]
    drawn: Ints = rng.choice(pool, min(n_null, len(pool)), replace=False)
    return drawn


def _beside(
    unit: Floats, target: Floats, null: Floats, others: Ints, *, own: Ints, also: Ints | None = None
) -> pd.DataFrame:
    """Return the similarity of every other gene to a vector, beside that to null vectors."""
    similarity = unit[others] @ target
    mean, sd, reached, number = (np.empty(len(others)) for _ in range(4))
    for start in range(0, len(others), 1 << 12):
        part = slice(start, start + (1 << 12))
        cosine = unit[others[part]] @ null.T
        # A gene is no null of itself.
        valid = others[part, None] != own
        if also is not None:
            valid &= others[part, None] != also
        count = np.maximum(valid.sum(axis=1), 1)
        mean[part] = np.where(valid, cosine, 0).sum(axis=1) / count
        square = np.where(valid, cosine - mean[part, None], 0) ** 2
        sd[part] = np.sqrt(square.sum(axis=1) / count)
        # Rounding must not make a tie look like less.
        reached[part] = (valid & (cosine >= similarity[part, None] - 1e-12)).sum(axis=1)
        number[part] = valid.sum(axis=1)
    moves = sd > _LEAST
    return pd.DataFrame(
        {
            "gene": others,
            "similarity": similarity.clip(-1, 1),
            "null_mean": mean,
            "null_sd": sd,
            "z": np.where(moves, (similarity - mean) / np.where(moves, sd, 1), np.nan),
            "p": (reached + 1) / (number + 1),
            "n_null": number.astype(np.int64),
        }
    )


def _nearest(parts: list[pd.DataFrame], n: int, by: list[str]) -> pd.DataFrame:
    table = pd.concat(parts, ignore_index=True)
    table["q"] = adjust(table["p"].to_numpy())
    kept = []
    for part in [group for _, group in table.groupby(by, sort=False)] if by else [table]:
        best = part.sort_values(["similarity", "gene"], ascending=[False, True]).head(n)
        kept.append(best.assign(rank=np.arange(1, len(best) + 1)))
    joined = pd.concat(kept, ignore_index=True)
    names = [*by, "gene", "rank", "similarity", "null_mean", "null_sd", "z", "p", "q", "n_null"]
    return tidy({name: joined[name].to_numpy() for name in names})
