"""Are modules of co-varying genes found, found again, and more than chance; and how fast?

*Planted*: counts of 20 programs of 30 genes among 2,000, with overdispersion, sequencing depth,
two batches and eight donors, in three strengths. Quality is the mean best-match Jaccard index of
each program with a module; between seeds and between halves of the donors it is that of modules
with modules. Beside us, on the same correlation within donors and the same genes: average linkage
(the tree of WGCNA, cut into as many modules as there are programs, plus one) and k-means on the
rows, both told the true number, which we are not.

*Real*: share of modules that over-represent a Reactome set or the targets of a factor in CollecTRI
(q < 0.05, hypergeometric, the tested genes as universe), beside random modules of genes of like
expression.

By each measure of pairs: modules of pbmc3k from metacells, from the attention of cellvq and from
contexts of genes, beside those from correlation.

*Time*: the network of 68,000 cells and 5,000 genes with its null, from a sparse matrix, beside the
plain correlation of numpy, in blocks of cells, without a null; peak memory of the process. Under
``--quick`` 8,000 cells and 1,000 genes.

    python tests/benchmarks/modules.py --data DIR [--quick] [--json]
"""

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp
from rows import Row, less, row, show

import scypher
from scypher.interpret.gene_sets.enrichment import enrich
from scypher.interpret.gene_sets.library import GeneSetLibrary, read_gmt
from scypher.interpret.inputs import log_expression
from scypher.interpret.modules.communities import Modules, find_modules
from scypher.interpret.modules.evidence import best_match, donor_stability, matched_modules
from scypher.interpret.modules.gene_modules import gene_modules
from scypher.interpret.modules.gene_pairs import co_regulation
from scypher.interpret.modules.strata import depth_strata
from scypher.interpret.modules.stratified_null import by_stratum, correlate
from scypher.interpret.networks.regulons import read_regulons
from scypher.interpret.variable_genes import select_genes

N_PROGRAMS = 20
STRENGTHS = {"weak": 0.3, "middling": 0.5, "strong": 1.0}
SETS = ("blood_pbmc3k", "blood_kang_ifnb")
MEASURES = ("correlation", "metacell", "attention", "context")
N_RANDOM = 20
"""Random modules for each module."""


@dataclass(frozen=True)
class Planted:
    """Counts, the program of each gene (-1 for none), and the donor of each cell."""

    counts: sp.csr_matrix
    program: np.ndarray
    donor: np.ndarray


def plant(rng: np.random.Generator, *, strength: float, n_cells: int = 3_000) -> Planted:
    """Return counts of 2,000 genes, 600 of them in programs, about 3,000 counts a cell."""
    n_genes, size, n_donors = 2_000, 30, 8
    donor = rng.integers(0, n_donors, n_cells)
    program = np.full(n_genes, -1)
    program[rng.permutation(n_genes)[: N_PROGRAMS * size]] = np.arange(N_PROGRAMS * size) // size
    activity = rng.gamma(0.5, 2.0, (n_cells, N_PROGRAMS)) - 1
    loading = rng.uniform(0.5, 1.5, n_genes) * strength
    log_rate = np.tile(rng.normal(0, 1.2, n_genes), (n_cells, 1))
    own = program >= 0
    log_rate[:, own] += np.log1p(np.maximum(loading[own] * activity[:, program[own]], -0.95))
    log_rate += rng.normal(0, 0.3, (2, n_genes))[donor % 2]
    log_rate += rng.normal(0, 0.15, (n_donors, n_genes))[donor]
    rate = np.exp(log_rate) * rng.gamma(4, 0.25, log_rate.shape)
    rate *= (rng.lognormal(np.log(3_000), 0.35, n_cells) / rate.sum(axis=1))[:, None]
    return Planted(sp.csr_matrix(rng.poisson(rate).astype(np.float32)), program, donor)


def sets_of(label: np.ndarray, genes: np.ndarray, *, most: int | None = None) -> list[set[int]]:
    """Return the genes of each label, those of no label (-1), few or too many genes left out."""
    sets = [set(genes[label == one].tolist()) for one in np.unique(label[label >= 0])]
    return [one for one in sets if len(one) >= 5 and (most is None or len(one) <= most)]


def agreement(found: list[set[int]], others: list[set[int]]) -> float:
    """Return the mean Jaccard index of sets with their best match among others."""
    return float(np.mean([best_match(one, others) for one in found])) if found else 0.0


Finder = Callable[[sp.csr_matrix, np.ndarray, np.ndarray, int], list[set[int]]]


def ours(values: sp.csr_matrix, strata: np.ndarray, genes: np.ndarray, seed: int) -> list[set[int]]:
    """Return our modules."""
    found = our_modules(values, strata, genes, seed).membership
    return [set(rows) for _, rows in found.groupby("module")["gene"]]


def our_modules(values: sp.csr_matrix, strata: np.ndarray, genes: np.ndarray, seed: int) -> Modules:
    """Return our modules with their tables."""
    rng = np.random.default_rng(seed)
    pairs = co_regulation(values, strata=strata, genes=genes, rng=rng)
    return find_modules(pairs, values.shape[1], rng=rng, expression=values)


def by_linkage(
    values: sp.csr_matrix, strata: np.ndarray, genes: np.ndarray, seed: int
) -> list[set[int]]:
    """Return the clusters of average linkage on 1 - r^2 (signed); the largest is background."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    distance = 1 - _within(values, strata, genes).clip(0) ** 2
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), method="average")
    return _without_largest(fcluster(tree, N_PROGRAMS + 1, criterion="maxclust"), genes)


def by_k_means(
    values: sp.csr_matrix, strata: np.ndarray, genes: np.ndarray, seed: int
) -> list[set[int]]:
    """Return the clusters of k-means on the rows of the correlation; the largest is background."""
    from sklearn.cluster import KMeans

    means = KMeans(N_PROGRAMS + 1, n_init=5, random_state=seed)
    return _without_largest(means.fit_predict(_within(values, strata, genes)), genes)


def _without_largest(label: np.ndarray, genes: np.ndarray) -> list[set[int]]:
    found = sorted(sets_of(label, genes), key=len)
    return found[:-1]


def _within(values: sp.csr_matrix, strata: np.ndarray, genes: np.ndarray) -> np.ndarray:
    """Return the correlation within strata: z over the root of the number of cells."""
    z = correlate(*by_stratum(values, strata, genes))[1]
    return np.clip(np.nan_to_num(z.astype(float)) / np.sqrt(values.shape[0]), -1, 1)


PEERS: dict[str, Finder] = {
    "average linkage, true number": by_linkage,
    "k-means, true number": by_k_means,
}


def planted_rows(strengths: dict[str, float]) -> list[Row]:
    """Return recovery, and agreement between seeds and between halves of the donors."""
    rows = []
    for name, strength in strengths.items():
        planted = plant(np.random.default_rng(1), strength=strength)
        values = log_expression(anndata.AnnData(planted.counts))
        totals = np.asarray(planted.counts.sum(axis=1)).ravel()
        strata = depth_strata(totals, planted.donor)
        genes = np.flatnonzero(np.diff(values.tocsc().indptr) >= 10)
        truth = sets_of(planted.program, np.arange(len(planted.program)))
        measured = {}
        for who, find in {"ours": ours, **PEERS}.items():
            first, second = (find(values, strata, genes, seed) for seed in (0, 1))
            halves = []
            for half in (planted.donor < 4, planted.donor >= 4):
                cells = np.flatnonzero(half)
                own = depth_strata(totals[cells], planted.donor[cells])
                halves.append(find(values[cells], own, genes, 0))
            both = (agreement(halves[0], halves[1]) + agreement(halves[1], halves[0])) / 2
            measured[who] = (agreement(truth, first), agreement(first, second), both)
        measures = ("recovery of programs", "agreement between seeds", "agreement of donor halves")
        rows += [
            row(
                f"20 planted programs, {name}",
                measure,
                unit="Jaccard",
                ours=measured["ours"][place],
                peer=measured[peer][place],
                peer_name=peer,
            )
            for place, measure in enumerate(measures)
            for peer in PEERS
        ]
    return rows


def enriched_share(
    membership: pd.DataFrame, library: GeneSetLibrary, universe: np.ndarray, names: np.ndarray
) -> float:
    """Return the share of modules that over-represent a set of a library."""
    queries = {
        str(module): names[genes.to_numpy()].tolist()
        for module, genes in membership.groupby("module")["gene"]
    }
    table = enrich(queries, library, names[universe].tolist())
    return float((table[table["q"] < 0.05]["query"].nunique()) / max(len(queries), 1))


def real_rows(folder: Path) -> list[Row]:
    """Return the share of modules enriched beside random ones, and stability of real modules."""
    knowledge = folder / "knowledge"
    libraries = {
        "Reactome": read_gmt(knowledge / "genesets_reactome.gmt"),
        "CollecTRI": read_regulons(knowledge / "regulons_collectri.tsv.gz").library(),
    }
    rows = []
    for name in SETS:
        data = anndata.read_h5ad(folder / f"{name}.h5ad")
        values = log_expression(data)
        totals = np.asarray(data.X.sum(axis=1)).ravel()
        donor = np.unique(data.obs["donor"].astype(str), return_inverse=True)[1]
        genes = select_genes(values, 1_500)
        found, again = (
            our_modules(values, depth_strata(totals, donor), genes, seed) for seed in (0, 1)
        )
        names = data.var_names.to_numpy()
        rng = np.random.default_rng(0)
        for library_name, library in libraries.items():
            random = [
                enriched_share(
                    matched_modules(values, genes, found.membership, rng=rng), library, genes, names
                )
                for _ in range(N_RANDOM)
            ]
            rows.append(
                row(
                    f"{name}, {library_name}",
                    f"share of {len(found.modules)} modules enriched",
                    unit="share",
                    ours=enriched_share(found.membership, library, genes, names),
                    peer=float(np.mean(random)),
                    peer_name="random modules of like expression",
                )
            )
        by_seed = [
            [set(one) for _, one in result.membership.groupby("module")["gene"]]
            for result in (found, again)
        ]
        _, halves = donor_stability(
            found.membership,
            donor,
            lambda cells, values=values, totals=totals, donor=donor, genes=genes: our_modules(
                values[cells], depth_strata(totals[cells], donor[cells]), genes, 0
            ),
            rng=rng,
        )
        random = matched_modules(values, genes, found.membership, rng=rng)
        chance = [set(one) for _, one in random.groupby("module")["gene"]]
        for measure, value in (
            ("agreement between seeds", agreement(*by_seed)),
            ("agreement of donor halves", halves),
        ):
            if np.isfinite(value):
                rows.append(
                    row(
                        name,
                        measure,
                        unit="Jaccard",
                        ours=value,
                        peer=agreement(by_seed[0], chance),
                        peer_name="random modules of like expression",
                    )
                )
    return rows


def measured_rows(folder: Path) -> list[Row]:
    """Return the share of modules enriched by each measure of pairs, beside correlation."""
    knowledge = folder / "knowledge"
    libraries = {
        "Reactome": read_gmt(knowledge / "genesets_reactome.gmt"),
        "CollecTRI": read_regulons(knowledge / "regulons_collectri.tsv.gz").library(),
    }
    data = anndata.read_h5ad(folder / f"{SETS[0]}.h5ad")
    cells = scypher.encode(data)
    genes = select_genes(log_expression(cells), 1_500)
    names = cells.var_names.to_numpy()
    shares: dict[str, dict[str, float]] = {}
    for measure in MEASURES:
        start = time.perf_counter()
        found = gene_modules(cells, measure=measure)
        members = found.membership.assign(gene=found.membership["position"])
        shares[measure] = {
            f"share of modules enriched, {name}": enriched_share(members, library, genes, names)
            for name, library in libraries.items()
        } | {"modules": len(found.modules), "time (s)": time.perf_counter() - start}
    return [
        row(
            f"{SETS[0]}, by {measure}",
            what,
            unit="",
            ours=value,
            peer=shares["correlation"][what],
            peer_name="by correlation",
        )
        for measure in MEASURES[1:]
        for what, value in shares[measure].items()
    ]


def sparse_cells(rng: np.random.Generator, n_cells: int, n_genes: int) -> sp.csr_matrix:
    """Return log1p of counts per 10,000, a tenth of the entries filled, made in blocks."""
    rate = rng.gamma(0.5, 0.25, n_genes)
    blocks = []
    for start in range(0, n_cells, 4_000):
        n = min(4_000, n_cells - start)
        depth = rng.lognormal(0, 0.4, n).astype(np.float32)
        blocks.append(sp.csr_matrix(rng.poisson(depth[:, None] * rate).astype(np.float32)))
    counts = sp.vstack(blocks, format="csr")
    return log_expression(anndata.AnnData(counts))


def numpy_correlation(values: sp.csr_matrix) -> np.ndarray:
    """Return the correlation by numpy, blocks of cells in single precision."""
    n_cells, n_genes = values.shape
    mean = np.asarray(values.mean(axis=0)).ravel().astype(np.float32)
    products = np.zeros((n_genes, n_genes), dtype=np.float32)
    for start in range(0, n_cells, 8_192):
        dense = values[start : start + 8_192].toarray()
        dense -= mean
        products += dense.T @ dense
    spread = np.sqrt(np.maximum(np.diag(products), 1e-12))
    return products / spread[:, None] / spread[None, :]


def time_rows(n_cells: int, n_genes: int) -> list[Row]:
    """Return time and peak memory of a network with its null, beside numpy without one."""
    rng = np.random.default_rng(0)
    values = sparse_cells(rng, n_cells, n_genes)
    depth = np.diff(values.indptr)
    start = time.perf_counter()
    plain = numpy_correlation(values)
    by_numpy = time.perf_counter() - start
    before = peak()
    del plain
    start = time.perf_counter()
    pairs = co_regulation(
        values, strata=depth_strata(depth), genes=np.arange(n_genes), rng=rng, max_pairs=100_000
    )
    find_modules(pairs, n_genes, rng=rng, expression=values)
    by_us = time.perf_counter() - start
    case = f"network of {n_cells:,} cells and {n_genes:,} genes"
    name = "numpy correlation without a null"
    return [
        less(case, "time", unit="s", ours=by_us, peer=by_numpy, peer_name=name),
        less(
            case, "peak memory of the process", unit="GiB", ours=peak(), peer=before, peer_name=name
        ),
    ]


def peak() -> float:
    """Return the largest memory of this process so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Modules: planted, real, and the time they take.")
    parser.add_argument("--data", type=Path, required=True, help="folder of data sets")
    parser.add_argument("--quick", action="store_true", help="one strength and a small network")
    parser.add_argument("--json", action="store_true", help="rows alone, as JSON")
    arguments = parser.parse_args()
    # first, so that the peak of memory is its own
    rows = time_rows(8_000, 1_000) if arguments.quick else time_rows(68_000, 5_000)
    rows += planted_rows({"middling": 0.5} if arguments.quick else STRENGTHS)
    rows += real_rows(arguments.data)
    rows += [] if arguments.quick else measured_rows(arguments.data)
    show(rows, as_json=arguments.json)


if __name__ == "__main__":
    main()
