"""Gene sets: lists, rankings and single cells, against gseapy and decoupler.

Genes and cells of blood_pbmc3k, Reactome sets. *Lists*: 50 lists (10 when quick) of 100 measured
genes, half of them from one set, half at random, against all sets; gseapy.enrich runs once per
list. *Ranking*: 1,000 sets (100 when quick) with 1,000 permutations on the difference of the means
of monocytes and of the other cells, equal values pulled apart, since gseapy leaves their order to
chance; and 20 such rankings of ours in one call. *Cells*: the univariate linear model of decoupler
(ulm) in all cells (500 when quick) for all sets of 5 to 500 measured genes. Each has run once on
little before it is timed.

    python tests/benchmarks/enrichment.py --data DIR [--quick] [--json]
"""

import argparse
import logging
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
from rows import Row, less, row, show
from scipy import sparse

from scypher.interpret.gene_sets.activity import set_activity
from scypher.interpret.gene_sets.enrichment import enrich
from scypher.interpret.gene_sets.library import GeneSetLibrary, membership, read_gmt
from scypher.interpret.gene_sets.ranked_enrichment import enrich_ranked
from scypher.interpret.inputs import log_expression

LISTS, QUICK_LISTS, LIST_SIZE = 50, 10, 100
SETS, QUICK_SETS = 1_000, 100
QUICK_CELLS = 500
PERMUTATIONS, RANKINGS = 1_000, 20
LEAST, MOST = 5, 500
TOLERANCE = 1e-9


def lists(library: GeneSetLibrary, genes: list[str], n: int) -> list[Row]:
    """Return time and largest relative difference of p of over-representation."""
    rng = np.random.default_rng(0)
    measured = set(genes)
    inside = {name: sorted(measured & set(s)) for name, (_, s) in library.sets.items()}
    large = [names for names in inside.values() if len(names) >= LIST_SIZE // 2]
    queries = {}
    for place in range(n):
        planted = rng.choice(large[rng.integers(len(large))], LIST_SIZE // 2, replace=False)
        others = rng.choice(genes, LIST_SIZE // 2, replace=False)
        queries[str(place)] = [str(gene) for gene in dict.fromkeys([*planted, *others])]
    case = f"{n} lists, {len(library.sets):,} sets, {len(genes):,} genes"
    enrich({"0": queries["0"]}, library, genes)
    ours, seconds = _timed(lambda: enrich(queries, library, genes))
    if not find_spec("gseapy"):
        return [_absent(case, "gseapy")]
    sets = {name: names for name, names in inside.items() if LEAST <= len(names) <= MOST}
    by_gseapy({"0": queries["0"]}, sets, genes)
    peer, peer_seconds = _timed(lambda: by_gseapy(queries, sets, genes))
    both = ours.merge(peer, left_on=["query", "name"], right_on=["query", "Term"], how="outer")
    difference = (both["p"] - both["P-value"]).abs() / both["P-value"]
    return [
        less(case, "time", unit="s", ours=seconds, peer=peer_seconds, peer_name="gseapy.enrich"),
        less(
            case,
            f"largest relative difference of {len(both):,} p from gseapy",
            unit="",
            # a row that only one of the two has is as different as can be
            ours=float(difference.fillna(np.inf).max()),
            peer=TOLERANCE,
            peer_name="tolerance",
        ),
    ]


def by_gseapy(
    queries: dict[str, list[str]], sets: dict[str, list[str]], genes: list[str]
) -> pd.DataFrame:
    """Return the rows of gseapy.enrich, list by list."""
    import gseapy

    frames = []
    for name, asked in queries.items():
        with np.errstate(divide="ignore"):
            found = gseapy.enrich(
                gene_list=asked, gene_sets=sets, background=genes, outdir=None, no_plot=True
            )
        frames.append(found.results.assign(query=name))
    return pd.concat(frames)


def rankings(
    library: GeneSetLibrary, values: sparse.csr_matrix, group: np.ndarray, genes: list[str], n: int
) -> list[Row]:
    """Return time and largest difference of the enrichment score of ranked enrichment."""
    kept = np.flatnonzero(np.bincount(values.indices, minlength=len(genes)) >= 10)
    used = values[:, kept]
    mean = [np.asarray(used[cells].mean(axis=0)).ravel() for cells in (group, ~group)]
    rng = np.random.default_rng(0)
    apart = rng.permutation(len(kept)) * 1e-10
    scores = pd.Series((mean[0] - mean[1]).astype(np.float64) + apart, np.array(genes)[kept])
    sizes = np.diff(membership(library, scores.index.tolist()).indptr)
    fit = np.flatnonzero((sizes >= LEAST) & (sizes <= MOST))[:n]
    names = [list(library.sets)[place] for place in fit]
    part = GeneSetLibrary("part", "", {name: library.sets[name] for name in names})
    case = f"{len(names):,} sets, {PERMUTATIONS:,} permutations, {len(scores):,} genes"

    def run(given: dict[str, pd.Series], n_permutations: int = PERMUTATIONS) -> pd.DataFrame:
        return enrich_ranked(given, part, rng=rng, n_permutations=n_permutations)

    run({"warm": scores}, 10)
    ours, seconds = _timed(lambda: run({"one": scores}))
    shuffled = {
        str(place): pd.Series(rng.permutation(scores), scores.index) for place in range(RANKINGS)
    }
    _, many_seconds = _timed(lambda: run(shuffled))
    if not find_spec("gseapy"):
        return [_absent(case, "gseapy")]
    sets = {name: list(genes) for name, (_, genes) in part.sets.items()}
    prerank(scores, dict(list(sets.items())[:5]), 10)
    peer, peer_seconds = _timed(lambda: prerank(scores, sets, PERMUTATIONS))
    both = ours.merge(peer, left_on="name", right_on="Term", how="outer")
    difference = (both["es"] - both["ES"].astype(float)).abs()
    return [
        less(case, "time", unit="s", ours=seconds, peer=peer_seconds, peer_name="gseapy.prerank"),
        less(
            case,
            f"time of each of {RANKINGS} rankings",
            unit="s",
            ours=many_seconds / RANKINGS,
            peer=peer_seconds,
            peer_name="gseapy.prerank, one ranking",
        ),
        less(
            case,
            f"largest difference of {len(both):,} enrichment scores from gseapy",
            unit="",
            ours=float(difference.fillna(np.inf).max()),
            peer=TOLERANCE,
            peer_name="tolerance",
        ),
        row(
            case,
            "smallest p (1 / 1,001 can be defended, 0 cannot)",
            unit="",
            ours=float(ours["p"].min()),
            peer=float(peer["NOM p-val"].astype(float).min()),
            peer_name="gseapy.prerank",
        ),
    ]


def prerank(scores: pd.Series, sets: dict[str, list[str]], n_permutations: int) -> pd.DataFrame:
    """Return the result of gseapy.prerank."""
    import gseapy

    found = gseapy.prerank(
        scores.copy(),
        sets,
        min_size=LEAST,
        max_size=MOST,
        permutation_num=n_permutations,
        threads=2,
        outdir=None,
        no_plot=True,
        seed=0,
    )
    table: pd.DataFrame = found.res2d
    return table


def cells(library: GeneSetLibrary, values: sparse.csr_matrix, genes: list[str]) -> list[Row]:
    """Return time and largest difference of t of the univariate linear model."""
    sizes = np.diff(membership(library, genes).indptr)
    names = np.array(list(library.sets), dtype=object)[(sizes >= LEAST) & (sizes <= MOST)]
    case = f"{values.shape[0]:,} cells, {len(names):,} sets, {len(genes):,} genes"

    def run(matrix: sparse.csr_matrix) -> pd.DataFrame:
        return set_activity(matrix, library, genes, min_size=LEAST, max_size=MOST)

    run(values[:5])
    ours, seconds = _timed(lambda: run(values))
    if not find_spec("decoupler"):
        return [_absent(case, "decoupler")]
    import decoupler

    net = pd.DataFrame(
        [(name, gene, 1.0) for name in names for gene in library.sets[name][1]],
        columns=["source", "target", "weight"],
    )

    def by_decoupler(matrix: sparse.csr_matrix) -> pd.DataFrame:
        data = anndata.AnnData(matrix.astype(np.float64), var=pd.DataFrame(index=genes))
        decoupler.mt.ulm(data, net, tmin=LEAST, empty=False)
        table: pd.DataFrame = data.obsm["score_ulm"]
        return table

    by_decoupler(values[:5])
    peer, peer_seconds = _timed(lambda: by_decoupler(values))
    difference = np.abs(ours.to_numpy() - peer[ours.columns].to_numpy()).max()
    return [
        less(case, "time", unit="s", ours=seconds, peer=peer_seconds, peer_name="decoupler.mt.ulm"),
        less(
            case,
            f"largest difference of t (up to {np.abs(peer.to_numpy()).max():.0f}) from decoupler",
            unit="",
            ours=float(difference),
            peer=1e-6,
            peer_name="tolerance",
        ),
    ]


def _timed(run: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    found = run()
    return found, time.perf_counter() - start


def _absent(case: str, name: str) -> Row:
    return row(case, "not installed", unit="", ours=0, peer=0, peer_name=name)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of data sets")
    parser.add_argument("--quick", action="store_true", help="fewer lists, sets and cells")
    parser.add_argument("--json", action="store_true", help="rows alone, as JSON")
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    data = anndata.read_h5ad(given.data / "blood_pbmc3k.h5ad")
    library = read_gmt(given.data / "knowledge" / "genesets_reactome.gmt")
    genes = data.var_names.tolist()
    values = log_expression(data)
    monocytes = data.obs["cell_type"].astype(str).str.contains("mono", case=False).to_numpy()
    found = lists(library, genes, QUICK_LISTS if given.quick else LISTS)
    found += rankings(library, values, monocytes, genes, QUICK_SETS if given.quick else SETS)
    found += cells(library, values[: QUICK_CELLS if given.quick else None], genes)
    show(found, as_json=given.json)


if __name__ == "__main__":
    main()
