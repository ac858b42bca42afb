"""Which gene sets gather at one end of a ranking of all measured genes, with draws of the sets."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ...encoders.errors import InputError
from ..statistics import Floats, adjust
from .library import GeneSetLibrary, check_overlap, membership
from .running_sums import Order, against_draws, score_sets


def enrich_ranked(
    rankings: "Mapping[str, pd.Series[float]]",
    library: GeneSetLibrary,
    *,
    rng: np.random.Generator,
    n_permutations: int = 1000,
    weight: float = 1.0,
    min_size: int = 5,
    max_size: int = 500,
) -> pd.DataFrame:
    """Test every set against every ranking by the running sum of GSEA (prerank).

    Subramanian 2005, PNAS 102:15545. Down the ranking of ``N`` genes, the sum rises at a gene of
    the set by ``|score|^weight`` over their total in the set, and falls at any other by
    ``1 / (N - set_size)``; ``es`` is its greatest distance from 0. Genes with equal scores come in
    one step, so that the order in which they were given is of no account; where all genes of a set
    have score 0 they rise alike.

    The null: the genes of the set are any ``set_size`` of the ranked genes. ``n_permutations``
    random sets of each size, shared by all sets of that size and nested in those of larger sizes,
    are scored alike. Among the ``B`` draws whose score has the sign of ``es``, ``b`` reach it:
    ``p = (b + 1) / (B + 1)``, and ``nes = es / mean |score of the B draws|``. It is the genes that
    are drawn, not the cells: that genes of a set move together in any case is not part of the null.

    Parameters
    ----------
    rankings
        Name of a ranking -> scores of all measured genes (index: names), high = first.
    library
        Gene sets.
    rng
        Source of the draws.
    n_permutations
        Draws, at least 1; p is no smaller than ``1 / (n_permutations + 1)``.
    weight
        Power of the score, at least 0; 0 counts only ranks.
    min_size, max_size
        Ranked genes that a set must have to be tested, and not all of them.

    Returns
    -------
    pandas.DataFrame
        One row per ranking and tested set, by ranking (in the order given), p, falling ``|nes|``
        and name: ``query``, ``name``, ``es`` in [-1, 1], ``nes`` (missing, with p 1, where no draw
        has the sign of ``es``), ``p`` in (0, 1], ``q`` (Benjamini-Hochberg over all rows),
        ``set_size``, ``universe`` (ranked genes) and ``leading_genes`` (those before the peak, or
        after the trough, by rank).

    Raises
    ------
    InputError
        There is no ranking; it names a gene twice, has a score that is not finite, or ranks
        nothing; the library shares no gene with it or has no set of a size within the limits; or
        a number is out of range.
    """
    from ...encoders.compiled import use_threads_of_torch

    if not rankings or n_permutations < 1 or not weight >= 0:
        message = (
            f"{len(rankings)} rankings, {n_permutations} permutations and weight {weight} were "
            "given; expected at least 1 ranking, 1 permutation and weight 0; give more."
        )
        raise InputError(message)
    use_threads_of_torch()
    orders = {str(name): _rank(str(name), scores, weight) for name, scores in rankings.items()}
    names = np.array(list(library.sets), dtype=object)
    frames = []
    for query, order in orders.items():
        check_overlap(library, order.genes.tolist())
        sets = membership(library, order.genes.tolist())
        sizes = np.diff(sets.indptr).astype(np.int64)
        most = min(max_size, len(order.genes) - 1)
        tested = np.flatnonzero((sizes >= min_size) & (sizes <= most))
        if not len(tested):
            message = (
                f"no set of {library.name} has {min_size} to {most} genes in the ranking {query!r} "
                f"of {len(order.genes)} genes (the largest has {sizes.max()}); expected at least "
                "one; widen min_size and max_size, or rank all measured genes."
            )
            raise InputError(message)
        sets, sizes = sets[tested], sizes[tested]
        es, peak = score_sets(sets, order)
        p, nes = against_draws(es, sizes, order, rng=rng, n_permutations=n_permutations)
        leading = [
            order.genes[hits[:at] if score > 0 else hits[at:]].tolist()
            for hits, at, score in zip(
                np.split(sets.indices, sets.indptr[1:-1]), peak.tolist(), es.tolist(), strict=True
            )
        ]
        columns: dict[str, Any] = {
            "query": np.full(len(tested), query, dtype=object),
            "name": names[tested],
            "es": es,
            "nes": nes,
            "p": p,
            "q": p,
            "set_size": sizes,
            "universe": np.full(len(tested), len(order.genes), dtype=np.int64),
            "leading_genes": pd.Series(leading, dtype=object),
        }
        rows = np.lexsort((names[tested], -np.abs(np.nan_to_num(nes)), p))
        frames.append(pd.DataFrame(columns).loc[rows])
    table = pd.concat(frames, ignore_index=True)
    table["q"] = adjust(table["p"].to_numpy())
    return table


def running_enrichment(
    ranking: "pd.Series[float]", genes: Collection[str], *, weight: float = 1.0
) -> pd.DataFrame:
    """Return the running sum of one set down a ranking, for a plot; as :func:`enrich_ranked`.

    Returns
    -------
    pandas.DataFrame
        One row per ranked gene, best first: ``rank`` from 1, ``gene``, ``score``, ``hit`` (1 for a
        gene of the set) and ``running_sum`` after all genes of equal score; its value farthest
        from 0 is the enrichment score.

    Raises
    ------
    InputError
        The ranking is wrong, or the set has none or all of its genes.
    """
    order = _rank("given", ranking, weight)
    hit = np.isin(order.genes.astype(str), list(genes))
    size, n = int(hit.sum()), len(hit)
    if not 0 < size < n:
        message = (
            f"a set with {size} of {n} ranked genes was given; expected some, not all of them; "
            "check that both use the same kind of gene names."
        )
        raise InputError(message)
    rise = np.where(hit, order.weight, 0)
    rise = np.cumsum(rise if rise.sum() else hit)
    steps = rise / rise[-1] - np.cumsum(~hit) / (n - size)
    return pd.DataFrame(
        {
            "rank": np.arange(1, n + 1),
            "gene": order.genes,
            "score": order.score,
            "hit": hit.astype(np.int64),
            "running_sum": steps[order.end - 1],
        }
    )


def _rank(name: str, scores: "pd.Series[float]", weight: float) -> Order:
    numeric = pd.api.types.is_numeric_dtype(scores.dtype)
    values = np.asarray(scores if numeric else np.zeros(len(scores)), dtype=np.float64)
    given = ""
    if not numeric:
        given, action = f"scores of the type {scores.dtype}", "convert them to numbers"
    elif not np.isfinite(values).all():
        given = f"{int((~np.isfinite(values)).sum())} scores that are missing or not finite"
        action = "leave those genes out, or give them a score"
    elif not scores.index.is_unique:
        twice = scores.index[scores.index.duplicated()][:5]
        given = f"genes named more than once, such as {', '.join(map(str, twice))},"
        action = "keep one score for each"
    elif len(values) < 2 or values.min() == values.max():
        given, action = f"{len(values)} genes that all have the same score", "choose another score"
    if given:
        message = (
            f"{given} were found in the ranking {name!r}; expected one finite score per gene that "
            f"puts the genes in an order; {action}."
        )
        raise InputError(message)
    order = np.argsort(-values, kind="stable")
    values = values[order]
    starts = np.flatnonzero(np.diff(values, prepend=np.inf))
    lengths = np.diff(np.append(starts, len(values)))
    begin = np.repeat(starts, lengths)
    genes = scores.index.to_numpy(dtype=object)[order]
    power: Floats = np.abs(values) ** weight
    return Order(genes, values, power, begin, begin + np.repeat(lengths, lengths))
