"""Markers: all groups and genes at once, against scanpy and illico.

Synthetic counts of 20,000 genes (negative binomial, 12 groups, some genes raised in one), as CSR
log1p of counts per 10,000. Ours returns statistic, p and q of all genes; scanpy runs its Wilcoxon
test with tie correction, illico the same test on two threads without continuity correction. Each
has run once on a few cells before it is timed. Memory is how far that of a process of its own grows
while one of them runs.

    python tests/benchmarks/markers.py [--data DIR] [--quick] [--json]
"""

import argparse
import ctypes
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
from rows import Row, less, row, show
from scipy import sparse

from scypher.interpret.markers.group_sums import group_sums
from scypher.interpret.markers.marker_statistics import marker_statistics
from scypher.interpret.markers.rank_sum import rank_sum
from scypher.interpret.markers.welch import specificity, welch
from scypher.interpret.statistics import adjust

os.environ["TQDM_DISABLE"] = "1"  # read when the peers are imported

N_GENES, N_GROUPS = 20_000, 12
SIZES, QUICK = (3_000, 10_000, 68_000), (3_000,)
RUNS = {3_000: 5, 10_000: 3, 68_000: 2}

Answer = tuple[np.ndarray, np.ndarray]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Markers against scanpy and illico.")
    parser.add_argument("--data", type=Path, help="not needed: the counts are generated")
    parser.add_argument("--quick", action="store_true", help="3,000 cells alone")
    parser.add_argument("--json", action="store_true", help="rows alone, as JSON")
    parser.add_argument("--memory", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.memory:
        name, n_cells = given.memory
        sys.stdout.write(json.dumps(_peak_of(name, int(n_cells))))
        return
    warm = generate(300)
    for one in METHODS.values():
        one(warm)
    rows: list[Row] = []
    for n_cells in QUICK if given.quick else SIZES:
        rows += compare(n_cells)
    show(rows, as_json=given.json)


def generate(n_cells: int, seed: int = 0) -> anndata.AnnData:
    """Return log expression of cells in 12 groups, about one gene in ten detected."""
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, N_GROUPS, n_cells)
    rate = rng.lognormal(-3.2, 1.6, N_GENES).clip(max=50)
    raised = rng.integers(0, N_GROUPS, N_GENES)
    strong = np.where(rng.random(N_GENES) < 0.1, 4.0, 1.0)
    parts = []
    for start in range(0, n_cells, 2_000):
        own = groups[start : start + 2_000]
        mean = rate * np.where(own[:, None] == raised, strong, 1.0)
        depth = rng.lognormal(0, 0.3, (len(own), 1))
        parts.append(sparse.csr_matrix(rng.poisson(mean * depth * rng.gamma(2, 0.5, mean.shape))))
    counts = sparse.vstack(parts).tocsr().astype(np.float32)
    counts.indices, counts.indptr = counts.indices.astype("i4"), counts.indptr.astype("i4")
    scale = 1e4 / np.maximum(np.asarray(counts.sum(1)).ravel(), 1)
    counts.data = np.log1p(counts.data * np.repeat(scale, np.diff(counts.indptr))).astype("f4")
    obs = pd.DataFrame(
        {"group": pd.Categorical.from_codes(groups, [f"g{i:02d}" for i in range(N_GROUPS)])},
        index=[f"c{i}" for i in range(n_cells)],
    )
    return anndata.AnnData(
        counts, obs=obs, var=pd.DataFrame(index=[f"G{i}" for i in range(N_GENES)])
    )


def ours(data: anndata.AnnData) -> Answer:
    """Return z and p; q is computed as well."""
    found = rank_sum(data.X, data.obs["group"].cat.codes.to_numpy(), N_GROUPS)
    adjust(found["p"])
    return found["z"], found["p"]


def by_scanpy(data: anndata.AnnData) -> Answer:
    """Return scores and p of scanpy."""
    import scanpy as sc

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.tl.rank_genes_groups(data, "group", method="wilcoxon", tie_correct=True)
    found = data.uns.pop("rank_genes_groups")
    answer = []
    for name in ("scores", "pvals"):
        columns = []
        for group in data.obs["group"].cat.categories:
            order = data.var_names.get_indexer(found["names"][group])
            values = np.empty(N_GENES)
            values[order] = found[name][group]
            columns.append(values)
        answer.append(np.array(columns))
    return answer[0], answer[1]


def by_illico(data: anndata.AnnData) -> Answer:
    """Return z and p of illico."""
    from illico import asymptotic_wilcoxon
    from loguru import logger

    logger.disable("illico")
    found = asymptotic_wilcoxon(
        data,
        is_log1p=True,
        group_keys="group",
        n_threads=2,
        use_continuity=False,
        tie_correct=True,
    )
    table = found.reset_index()
    group, gene = table.columns[:2]
    place = [data.obs["group"].cat.categories, data.var_names]
    answer = []
    for name in ("z_score", "p_value"):
        wide = table.pivot(index=group, columns=gene, values=name)
        answer.append(wide.loc[place[0], place[1]].to_numpy())
    return answer[0], answer[1]


METHODS: dict[str, Callable[[anndata.AnnData], Answer]] = {"ours": ours, "scanpy": by_scanpy}
if find_spec("illico"):
    METHODS["illico"] = by_illico
NAMES = {
    "scanpy": "scanpy, Wilcoxon with tie correction",
    "illico": "illico, two threads",
}


def compare(n_cells: int) -> list[Row]:
    """Return time, memory and largest differences at one size."""
    data = generate(n_cells)
    case = f"{n_cells:,} cells, {N_GENES:,} genes, {N_GROUPS} groups, {data.X.nnz:,} values"
    runs = RUNS[n_cells]
    found, seconds, memory = {}, {}, {}
    for name, method in METHODS.items():
        found[name], seconds[name] = _timed(method, data, 1 if name == "scanpy" else runs)
        memory[name] = _memory(name, n_cells)
    rows = []
    for peer, name in NAMES.items():
        if peer not in METHODS:
            rows.append(row(case, "not installed", unit="", ours=0, peer=0, peer_name=name))
            continue
        rows.append(
            less(
                case, "Wilcoxon", unit="s", ours=seconds["ours"], peer=seconds[peer], peer_name=name
            )
        )
        rows.append(
            less(case, "memory", unit="GB", ours=memory["ours"], peer=memory[peer], peer_name=name)
        )
        for measure, mine, other in zip(("z", "p"), found["ours"], found[peer], strict=True):
            known = np.isfinite(other)
            rows.append(
                Row(
                    case=case,
                    measure=f"largest difference of {measure}",
                    unit="",
                    ours=float(np.abs(mine - other)[known].max()),
                    peer=0.0,
                    peer_name=name,
                    ratio=1.0,
                )
            )
    return rows + _others(data, case, runs)


def _others(data: anndata.AnnData, case: str, runs: int) -> list[Row]:
    """Compare Welch's t with scanpy's; time specificity and the table of all statistics."""
    import scanpy as sc

    groups = data.obs["group"].cat.codes.to_numpy().astype(np.int64)

    def scanpy_t(data: anndata.AnnData) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sc.tl.rank_genes_groups(data, "group", method="t-test")

    def sums(data: anndata.AnnData) -> None:
        welch(group_sums(data.X, groups, N_GROUPS))

    def cosines(data: anndata.AnnData) -> None:
        specificity(group_sums(data.X, groups, N_GROUPS))

    def table(data: anndata.AnnData) -> None:
        marker_statistics(data.X, groups, N_GROUPS)

    time_of = {what: _timed(what, data, runs)[1] for what in (scanpy_t, sums, cosines, table)}
    peer = {"peer": time_of[scanpy_t], "peer_name": "scanpy, t-test"}
    return [
        less(case, "Welch's t", unit="s", ours=time_of[sums], **peer),
        less(case, "specificity (COSG)", unit="s", ours=time_of[cosines], **peer),
        less(case, "table of all statistics, sorted", unit="s", ours=time_of[table], **peer),
    ]


def _timed(
    method: Callable[[anndata.AnnData], Any], data: anndata.AnnData, runs: int
) -> tuple[Any, float]:
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        found = method(data)
        times.append(time.perf_counter() - started)
    return found, float(np.median(times))


def _memory(name: str, n_cells: int) -> float:
    command = [sys.executable, __file__, "--memory", name, str(n_cells)]
    return float(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))


def _peak_of(name: str, n_cells: int) -> float:
    """Return how far, in GB, the memory of this process grows while a method runs."""
    METHODS[name](generate(300))
    data = generate(n_cells)
    ctypes.CDLL(None).malloc_trim(0)  # what the making of the data left must not be used again
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _status("VmRSS")
    METHODS[name](data)
    return _status("VmHWM") - before


def _status(name: str) -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{name}:")[1].split()[0]) * 1024 / 1e9


if __name__ == "__main__":
    main()
