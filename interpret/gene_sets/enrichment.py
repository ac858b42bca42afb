"""Which published gene sets a list of genes over-represents, within the measured genes."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import scipy.sparse as sp

from ...encoders.errors import InputError
from ..statistics import SMALLEST, Floats, Ints, adjust
from .library import (
    GeneSetLibrary,
    GeneSets,
    check_overlap,
    incidence,
    known_genes,
    membership,
    merge,
    read_libraries,
)
from .marker_lists import Markers, best_genes, check_markers, read_markers
from .ranked_enrichment import enrich_ranked

_COUNTS = ("overlap", "set_size", "query_size", "universe")


def enrich(
    queries: dict[str, list[str]],
    library: GeneSetLibrary,
    universe: list[str],
    *,
    min_size: int = 5,
    max_size: int = 500,
) -> pd.DataFrame:
    """Test every list of genes against every set by the hypergeometric test.

    ``p = P(X >= overlap)`` for ``query_size`` genes drawn from ``universe`` genes of which
    ``set_size`` are in the set, as gseapy computes it (Fang 2023, Bioinformatics 39:btac757).
    Queries and sets are first cut down to the universe; how much of a library that leaves is told
    by :func:`~scypher.interpret.gene_sets.library.known_genes`.

    Parameters
    ----------
    queries
        Name of a list -> its genes.
    library
        Gene sets.
    universe
        The genes that could have been found: all measured genes.
    min_size, max_size
        Measured genes that a set must have to be tested.

    Returns
    -------
    pandas.DataFrame
        One row per query and set that share a gene, by query (in the order given), p and name:
        ``query``, ``name``, ``overlap``, ``set_size``, ``query_size``, ``universe``,
        ``odds_ratio`` (0.5 added to each count: Haldane 1956, Ann Hum Genet 20:309), ``p``
        in (0, 1], ``q`` (Benjamini-Hochberg over all queries and all tested sets of the library,
        those that share no gene among them) and ``genes`` (the shared ones, sorted).

    Raises
    ------
    InputError
        When the library and the universe share no gene, or are of different species.
    """
    check_overlap(library, universe)
    # sorted, so that the shared genes of every row come out sorted
    genes = sorted(set(universe))
    sets = membership(library, genes)
    sizes = np.diff(sets.indptr)
    tested = np.flatnonzero((sizes >= min_size) & (sizes <= max_size))
    columns = sets[tested].tocsc()
    asked = incidence(list(queries.values()), genes)
    asked_sizes = np.diff(asked.indptr)
    names = np.array(list(library.sets), dtype=object)[tested]
    found = [_shared(columns, asked[place], genes) for place in range(len(queries))]
    row = np.concatenate([np.zeros(0, np.int64), *(rows for rows, _ in found)])
    place = np.repeat(np.arange(len(found)), [len(rows) for rows, _ in found])
    shared = [genes_of_row for _, lists in found for genes_of_row in lists]
    overlap = np.array([len(genes_of_row) for genes_of_row in shared], dtype=np.int64)
    set_size, query_size = sizes[tested][row].astype(np.int64), asked_sizes[place].astype(np.int64)
    p = hypergeometric_p(overlap, set_size, query_size, len(genes))
    unshared = np.ones(len(tested) * int((asked_sizes > 0).sum()) - len(p))
    table = pd.DataFrame(
        {
            "query": np.array(list(queries), dtype=object)[place],
            "name": names[row],
            "overlap": overlap,
            "set_size": set_size,
            "query_size": query_size,
            "universe": np.full(len(p), len(genes), dtype=np.int64),
            "odds_ratio": _odds_ratio(overlap, set_size, query_size, len(genes)),
            "p": p,
            "q": adjust(np.concatenate([p, unshared]))[: len(p)],
            "genes": pd.Series(shared, dtype=object),
        }
    )
    order = np.lexsort((table["name"], p, place))
    return table.loc[order].reset_index(drop=True)


def hypergeometric_p(overlap: Ints, set_size: Ints, query_size: Ints, universe: int) -> Floats:
    """Return P(X >= overlap) of the hypergeometric distribution, elementwise, in (0, 1]."""
    from scipy.stats import hypergeom

    counts = np.stack([overlap, set_size, query_size])
    different, place = np.unique(counts, axis=1, return_inverse=True)
    p = hypergeom.sf(different[0] - 1, universe, different[1], different[2])
    return np.asarray(p, dtype=np.float64).clip(SMALLEST, 1)[place]


def gene_set_enrichment(
    markers: Markers,
    gene_sets: GeneSets | Sequence[GeneSets],
    *,
    universe: Sequence[str] | None = None,
    n_genes: int = 100,
    ranked: bool = False,
    score: str | None = None,
    min_size: int = 5,
    max_size: int = 500,
    n_permutations: int = 1000,
    seed: int = 0,
    key: str = "rank_genes_groups",
    key_added: str | None = None,
) -> pd.DataFrame:
    """Ask which gene sets the markers of every group are enriched in.

    The best genes of each group go to :func:`enrich`; or, when ``ranked``, all genes of each group
    by their score to :func:`~scypher.interpret.gene_sets.ranked_enrichment.enrich_ranked`.

    Parameters
    ----------
    markers
        Frame with the columns ``group`` and ``gene``, one row per marker, as
        :func:`~scypher.interpret.markers.consensus.rank_markers` returns (whole numbers in ``gene``
        are positions in ``universe``); lists of genes by name, which are taken whole; or an AnnData
        object with a ranking of scanpy's ``rank_genes_groups``. Rows that should not count, such as
        genes that are lower in the group, must be left out before.
    gene_sets
        Paths of GMT files, libraries, or names of sets with their genes.
    universe
        All measured genes; those that were ranked by default for an AnnData object.
    n_genes
        Best genes of a group, at least 1: by ``score``, else by the column ``rank``, else in the
        order of the rows.
    ranked
        Use the scores of all genes rather than the best genes. The universe is then what the
        frame ranks in the group.
    score
        Column of numbers, high = best; ``score`` for an AnnData object.
    min_size, max_size
        Measured genes that a set must have to be tested.
    n_permutations, seed
        Draws of random sets and their seed, when ``ranked``.
    key
        Slot of ``uns`` with the ranking of an AnnData object.
    key_added
        Slot of ``uns`` of the AnnData object to write the result to, with lists of genes as text
        with semicolons, which a file can hold.

    Returns
    -------
    pandas.DataFrame
        Columns of :func:`enrich` or of ``enrich_ranked``, ``query`` being the group, after a first
        column ``library``; rows by group, p, library and name. q is over all groups and all tested
        sets of all libraries. ``attrs["known_genes"]`` leads from a library to the number of its
        genes that are measured and that are not.

    Raises
    ------
    InputError
        The frame lacks a column, ``universe`` or ``score`` is missing, a number is not finite, or
        a library and the measured genes share no gene.
    """
    libraries = read_libraries(gene_sets)
    frame, measured = read_markers(markers, universe, key)
    slots = None if isinstance(markers, (pd.DataFrame, Mapping)) else markers.uns
    if isinstance(markers, Mapping):
        n_genes = max([n_genes, *map(len, markers.values())])
    if score is None and slots is not None:
        score = "score"
    check_markers(frame, measured, ranked=ranked, score=score, n_genes=n_genes)
    if key_added is not None and slots is None:
        message = (
            f"key_added={key_added!r} was given without an AnnData object; expected one to write "
            "to; leave key_added out, or pass the AnnData object."
        )
        raise InputError(message)
    if pd.api.types.is_integer_dtype(frame["gene"]):
        frame = frame.assign(gene=np.asarray(measured, dtype=object)[frame["gene"].to_numpy()])
    groups = {str(name): rows for name, rows in frame.groupby("group", sort=False, observed=True)}
    asked = list(dict.fromkeys(frame["gene"])) if ranked else list(measured or ())
    for library in libraries:
        check_overlap(library, asked)
    limits = {"min_size": min_size, "max_size": max_size}
    if ranked:
        table = enrich_ranked(
            {name: rows.set_index("gene")[score] for name, rows in groups.items()},
            merge(libraries),
            rng=np.random.default_rng(seed),
            n_permutations=n_permutations,
            **limits,
        )
    else:
        best = {name: best_genes(rows, score, n_genes) for name, rows in groups.items()}
        table = enrich(best, merge(libraries), asked, **limits)
    # no name of a set can hold a tab: in a GMT file tabs end it
    parts = table["name"].str.partition("\t") if len(table) else pd.DataFrame(columns=[0, 1, 2])
    table["name"] = parts[2]
    table.insert(0, "library", parts[0])
    table.attrs["known_genes"] = {
        library.name: known_genes(library, asked) for library in libraries
    }
    if key_added is not None and slots is not None:
        lists = "leading_genes" if ranked else "genes"
        slots[key_added] = table.assign(**{lists: table[lists].str.join(";")})
    return table


def _shared(
    columns: sp.csc_matrix, asked: sp.csr_matrix, genes: list[str]
) -> tuple[Ints, list[list[str]]]:
    """Return the sets that share a gene with a list, and the shared genes of each."""
    part = columns[:, asked.indices].tocsr()
    part.sort_indices()
    row = np.flatnonzero(np.diff(part.indptr))
    names = [genes[place] for place in asked.indices[part.indices]]
    stops = part.indptr.tolist()
    return row, [names[stops[one] : stops[one + 1]] for one in row.tolist()]


def _odds_ratio(overlap: Ints, set_size: Ints, query_size: Ints, universe: int) -> Floats:
    only_set, only_query = set_size - overlap, query_size - overlap
    neither = universe - overlap - only_set - only_query
    both: Floats = (overlap + 0.5) * (neither + 0.5) / ((only_set + 0.5) * (only_query + 0.5))
    return both
