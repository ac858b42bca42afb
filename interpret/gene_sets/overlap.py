"""Which enriched gene sets say the same thing, because they share most of their genes."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
import pandas as pd

from ...encoders.errors import InputError
from ..statistics import Floats
from .library import GeneSetLibrary, membership, merge

Measure = Literal["jaccard", "overlap"]


def representative_sets(
    table: pd.DataFrame,
    library: GeneSetLibrary | Sequence[GeneSetLibrary],
    universe: Sequence[str],
    *,
    measure: Measure = "jaccard",
    threshold: float = 0.5,
    alpha: float = 0.05,
) -> pd.DataFrame:
    """Group the significant sets of each query by shared measured genes, for display.

    Down the sets of a query by p and name, a set joins the representative that it is most similar
    to, if that is at least ``threshold`` (of equals the one with the better p), else it becomes one
    itself; so every representative has the best p of its group. Nothing is tested again: p and q
    stay those of the table.

    Parameters
    ----------
    table
        Result of :func:`~scypher.interpret.gene_sets.enrichment.enrich`, ``enrich_ranked`` or
        ``gene_set_enrichment``: ``query``, ``name``, ``p``, ``q``, and ``library`` where there
        are several.
    library
        The gene sets that were tested.
    universe
        All measured genes.
    measure
        ``jaccard``: shared genes over the genes of either; ``overlap``: over the genes of the
        smaller set, so that a set joins one that holds it.
    threshold
        Least similarity, in (0, 1].
    alpha
        Greatest q of a set that is shown.

    Returns
    -------
    pandas.DataFrame
        One row per query and significant set, by query (in the order of the table), p and name:
        ``library`` (where the table has it), ``query``, ``name``, ``p``, ``q``,
        ``representative``, ``similarity`` to it in (0, 1] and ``is_representative`` (1 or 0).
        Where the table has ``library``, so has the result ``representative_library``.

    Raises
    ------
    InputError
        A column is missing, the table names a set that the library lacks, or an option is out of
        range.
    """
    libraries = [library] if isinstance(library, GeneSetLibrary) else list(library)
    several = "library" in table
    _check(table, libraries, measure=measure, threshold=threshold)
    rows = table[table["q"] <= alpha].reset_index(drop=True)
    name = rows["library"] + "\t" + rows["name"] if several else rows["name"]
    sets = merge(libraries) if several else libraries[0]
    unknown = sorted(set(name) - set(sets.sets))
    if unknown:
        message = (
            f"the table has sets such as {', '.join(unknown[:3])}, which the library lacks; "
            "expected the library that was tested; pass that one."
        )
        raise InputError(message)
    place = name.map({one: number for number, one in enumerate(sets.sets)}).to_numpy(dtype=np.int64)
    member = membership(sets, list(dict.fromkeys(universe)))
    query, _ = pd.factorize(rows["query"])
    order = np.lexsort((name, rows["p"], query))
    rows, place, query = rows.loc[order].reset_index(drop=True), place[order], query[order]
    chosen, similar = np.empty(len(rows), np.int64), np.empty(len(rows))
    edges = np.flatnonzero(np.diff(query, prepend=-1, append=-2))
    for start, stop in pairwise(edges.tolist()):
        part = member[place[start:stop]]
        shared = (part @ part.T).toarray().astype(np.float64)
        leader, similar[start:stop] = _lead(_similarity(shared, measure), threshold)
        chosen[start:stop] = start + leader
    kept = [*(["library"] if several else []), "query", "name", "p", "q"]
    result = rows[kept].copy()
    result["representative"] = rows["name"].to_numpy()[chosen]
    result["similarity"] = similar
    result["is_representative"] = (chosen == np.arange(len(rows))).astype(np.int64)
    if several:
        result["representative_library"] = rows["library"].to_numpy()[chosen]
    return result


def _similarity(shared: Floats, measure: Measure) -> Floats:
    size = np.diag(shared)
    least, either = np.minimum(size[:, None], size), size[:, None] + size - shared
    similar: Floats = shared / np.maximum(least if measure == "overlap" else either, 1)
    return similar


def _lead(similar: Floats, threshold: float) -> tuple[np.ndarray, Floats]:
    """Return the leader of every set, given best first, and the similarity to it."""
    leader = np.arange(len(similar))
    value = np.ones(len(similar))
    leaders = np.zeros(0, dtype=np.int64)
    for one, row in enumerate(similar):
        near = row[leaders]
        best = int(near.argmax()) if len(near) else -1
        if best >= 0 and near[best] >= threshold:
            leader[one], value[one] = leaders[best], near[best]
        else:
            leaders = np.append(leaders, one)
    return leader, value


def _check(
    table: pd.DataFrame, libraries: list[GeneSetLibrary], *, measure: str, threshold: float
) -> None:
    missing = [name for name in ("query", "name", "p", "q") if name not in table]
    given = ""
    if missing:
        given, action = f"a table without {', '.join(missing)}", "pass a result of enrichment"
    elif len(libraries) != 1 and "library" not in table:
        given = f"{len(libraries)} libraries with a table that does not name them"
        action = "pass the one library that was tested"
    elif measure not in ("jaccard", "overlap"):
        given, action = f"the measure {measure!r}", "choose jaccard or overlap"
    elif not 0 < threshold <= 1:
        given, action = f"the threshold {threshold}", "choose one above 0, at most 1"
    if given:
        message = (
            f"{given} was given; expected a result of enrichment, its libraries, a known measure "
            f"and a threshold in (0, 1]; {action}."
        )
        raise InputError(message)
