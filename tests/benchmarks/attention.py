"""Graph attention: time against torch-geometric, and growth with the number of cells.

Convolutions: 64 gene edges a cell with three attributes each, width 64, four heads, and 15
neighbours a cell as a second relation; median of runs, same weights on both sides. Differences are
the largest one divided by the largest entry, against 1e-5. Growth: a network of the default size
(two layers, ten epochs, without early stopping) is trained on and read over cells of about 120
genes each out of 20,000, in a process of its own; its peer is the smallest case (time), or the
goal of 15 minutes and 8 GB for 68,000 cells, in proportion.

    python tests/benchmarks/attention.py [--data DIR] [--quick] [--json]
"""

import argparse
import json
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rows import Row, row, show
from scipy.sparse import csr_matrix
from torch import Tensor

from scypher.kg.attention import GraphAttentionConfig, attend
from scypher.kg.attention.convolution import GATv2, GATv2Conv

WIDTH, HEADS, N_GENES, DEGREE, NEAR = 64, 4, 2000, 64, 15
CONFIG = GraphAttentionConfig()
TOLERANCE = 1e-5
GOAL_CELLS, GOAL_SECONDS, GOAL_GB = 68_000, 15 * 60, 8.0


def less(case: str, measure: str, *, unit: str, ours: float, peer: float, peer_name: str) -> Row:
    """Return a row of a measure of which less is better."""
    turned = row(case, measure, unit=unit, ours=peer, peer=ours, peer_name=peer_name)
    return Row(**{**turned, "ours": float(f"{ours:.4g}"), "peer": float(f"{peer:.4g}")})


def median_time(run: Callable[[], object], repeats: int) -> float:
    """Return the median time of a run, after a first one."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def largest_difference(ours: Tensor, peer: Tensor) -> float:
    """Return the largest difference in units of the largest entry."""
    return float((ours - peer).abs().max() / peer.abs().max())


class Relation:
    """Edges into cells, sorted by cell, with attributes."""

    def __init__(self, n_cells: int, n_sources: int, degree: int, edge_dim: int) -> None:
        self.n_sources, self.edge_dim = n_sources, edge_dim
        source = torch.randint(n_sources, (n_cells * degree,))
        self.edges = torch.stack([source, torch.arange(n_cells).repeat_interleave(degree)])
        self.attributes = torch.randn(n_cells * degree, edge_dim, requires_grad=True)
        self.states = torch.randn(n_sources, WIDTH, requires_grad=True)


def both_layers(edge_dim: int) -> tuple[GATv2, GATv2Conv]:
    """Return our layer and that of torch-geometric with the same weights."""
    ours = GATv2((WIDTH, WIDTH), WIDTH // HEADS, heads=HEADS, edge_dim=edge_dim)
    peer = GATv2Conv(
        (WIDTH, WIDTH), WIDTH // HEADS, heads=HEADS, edge_dim=edge_dim, add_self_loops=False
    )
    peer.load_state_dict(ours.state_dict())
    return ours, peer


def convolution_rows(quick: bool) -> list[Row]:
    """Measure one relation against GATv2Conv, and two against HeteroConv."""
    from torch_geometric.nn import HeteroConv

    torch.manual_seed(0)
    n_cells = 2000 if quick else 10_000
    cells = torch.randn(n_cells, WIDTH, requires_grad=True)
    genes = Relation(n_cells, N_GENES, DEGREE, 3)
    near = Relation(n_cells, n_cells, NEAR, 1)
    layers = {"gene": both_layers(3), "near": both_layers(1)}
    kinds = {("gene", "in", "cell"): genes, ("near", "to", "cell"): near}
    with warnings.catch_warnings():
        # Only the cells receive messages, as intended.
        warnings.filterwarnings("ignore", message="There exist node types")
        hetero = HeteroConv({kind: layers[kind[0]][1] for kind in kinds}, aggr="sum")

    def one(layer: GATv2Conv) -> Tensor:
        out: Tensor = layer((genes.states, cells), genes.edges, genes.attributes)
        return out

    def two() -> Tensor:
        parts = (layers[kind[0]][0] for kind in kinds)
        messages = [
            layer((relation.states, cells), relation.edges, relation.attributes)
            for layer, relation in zip(parts, kinds.values(), strict=True)
        ]
        return messages[0] + messages[1]

    def two_of_peer() -> Tensor:
        states = {"gene": genes.states, "near": near.states, "cell": cells}
        edges = {kind: relation.edges for kind, relation in kinds.items()}
        attributes = {kind: relation.attributes for kind, relation in kinds.items()}
        out: Tensor = hetero(states, edges, edge_attr_dict=attributes)["cell"]
        return out

    single = [cells, genes.states, genes.attributes]
    double = [*single, near.states, near.attributes]
    ours, peer = layers["gene"]
    of_both = [[*layers["gene"][k].parameters(), *layers["near"][k].parameters()] for k in (0, 1)]
    return [
        *_compare(
            f"{n_cells * DEGREE:,} edges, one relation",
            (lambda: one(ours), [*single, *ours.parameters()]),
            (lambda: one(peer), [*single, *peer.parameters()]),
            peer_name="GATv2Conv",
        ),
        *_compare(
            f"{n_cells * (DEGREE + NEAR):,} edges, two relations",
            (two, [*double, *of_both[0]]),
            (two_of_peer, [*double, *of_both[1]]),
            peer_name="HeteroConv of GATv2Conv",
        ),
    ]


Side = tuple[Callable[[], Tensor], list[Tensor]]


def _compare(case: str, ours: Side, peer: Side, *, peer_name: str) -> list[Row]:
    asked = torch.randn(ours[0]().shape)

    def gradients(side: Side) -> tuple[Tensor, ...]:
        return torch.autograd.grad((side[0]() * asked).sum(), side[1])

    def forward(side: Side) -> Tensor:
        with torch.no_grad():
            return side[0]()

    times = {
        "forward": [median_time(lambda side=side: forward(side), 5) for side in (ours, peer)],
        "forward and backward": [
            median_time(lambda side=side: gradients(side), 5) for side in (ours, peer)
        ],
    }
    differences = {
        "largest difference of outputs": largest_difference(forward(ours), forward(peer)),
        "largest difference of gradients": max(
            largest_difference(a, b) for a, b in zip(gradients(ours), gradients(peer), strict=True)
        ),
    }
    return [
        *(
            less(case, measure, unit="s", ours=mine, peer=theirs, peer_name=peer_name)
            for measure, (mine, theirs) in times.items()
        ),
        *(
            less(
                case,
                f"{measure} to {peer_name}",
                unit="of the largest entry",
                ours=value,
                peer=TOLERANCE,
                peer_name="tolerance",
            )
            for measure, value in differences.items()
        ),
    ]


def make_graph(n_cells: int, n_genes: int, seed: int = 0) -> dict[str, Any]:
    """Return cells of 30 groups with about 120 tokens each, codes and donors, for ``attend``."""
    rng = np.random.default_rng(seed)
    n_groups, draws = 30, 140
    group = rng.integers(n_groups, size=n_cells)
    columns, lengths = [], np.zeros(n_cells, np.int64)
    popularity = rng.lognormal(sigma=1.0, size=n_genes)
    for number in range(n_groups):
        rows = np.flatnonzero(group == number)
        weight = popularity * np.where(rng.random(n_genes) < 0.05, 10, 1)
        share = np.cumsum(weight) / weight.sum()
        drawn = np.searchsorted(share, rng.random((len(rows), draws))).clip(max=n_genes - 1)
        drawn.sort(axis=1)
        first = np.diff(drawn, axis=1, prepend=-1) > 0
        lengths[rows] = first.sum(axis=1)
        columns.append(drawn[first].astype(np.int32))
    order = np.argsort(group, kind="stable")
    values = rng.gamma(4, 0.4, size=int(lengths.sum())).astype(np.float32)
    indptr = np.concatenate([[0], np.cumsum(lengths[order])])
    centres = rng.normal(size=(n_groups, 64))
    sorted_group = group[order]
    return {
        "cells": (centres[sorted_group] + rng.normal(size=(n_cells, 64))).astype(np.float32),
        "tokens": csr_matrix((values, np.concatenate(columns), indptr), shape=(n_cells, n_genes)),
        "gene_features": rng.normal(size=(n_genes, 64)).astype(np.float32),
        "codes": sorted_group * 4 + rng.integers(4, size=n_cells),
        "codebook": rng.normal(size=(n_groups * 4, 32)).astype(np.float32),
        "metadata": {
            "donor": rng.integers(8, size=n_cells),
            "batch": rng.integers(4, size=n_cells),
        },
    }


def train_once(n_cells: int, n_genes: int, epochs: int) -> None:
    """Train on and read generated cells; print seconds, CPU seconds, peak bytes and AUROC."""
    data = make_graph(n_cells, n_genes)
    cells = data.pop("cells")
    config = replace(CONFIG, epochs=epochs, patience=epochs)
    start = time.perf_counter(), time.process_time()
    result = attend(cells, generator=np.random.default_rng(0), config=config, **data)
    seconds, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
    last = result.history.iloc[-1]
    found = {
        "seconds": seconds,
        "cpu": cpu,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "auroc": float(last["auroc"]),
        "popularity": float(last["auroc_popularity"]),
    }
    sys.stdout.write(json.dumps(found))


def scaling_rows(quick: bool) -> list[Row]:
    """Measure training and reading of generated cells, each size in a process of its own."""
    sizes = (1000, 3400) if quick else (10_000, 34_000, GOAL_CELLS)
    epochs = 2 if quick else CONFIG.epochs
    found = {}
    for n_cells in sizes:
        arguments = [str(number) for number in (n_cells, 20_000, epochs)]
        done = subprocess.run(
            [sys.executable, __file__, "--train", *arguments],
            capture_output=True,
            check=True,
            text=True,
        )
        found[n_cells] = json.loads(done.stdout)
    first = found[sizes[0]]
    rows = []
    for n_cells, one in found.items():
        case = f"{n_cells:,} cells x 20,000 genes, {epochs} epochs"
        share = n_cells / GOAL_CELLS
        smallest = f"{sizes[0]:,} cells"
        rows += [
            less(
                case,
                "train and read",
                unit="s",
                ours=one["seconds"],
                peer=GOAL_SECONDS * max(share, 1),
                peer_name="goal for 68,000 cells",
            ),
            less(
                case,
                "peak memory",
                unit="GB",
                ours=one["peak"] / 1e9,
                peer=GOAL_GB * max(share, 1),
                peer_name="goal for 68,000 cells",
            ),
            *(
                less(
                    case,
                    f"{name} per cell",
                    unit="ms",
                    ours=one[key] / n_cells * 1e3,
                    peer=first[key] / sizes[0] * 1e3,
                    peer_name=smallest,
                )
                for name, key in (("time", "seconds"), ("time of the processor", "cpu"))
            ),
            row(
                case,
                "AUROC of held-out edges",
                unit="share",
                ours=one["auroc"],
                peer=one["popularity"],
                peer_name="popularity",
            ),
        ]
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Graph attention: speed and growth.")
    parser.add_argument("--data", type=Path, help="not needed: all graphs are generated")
    parser.add_argument("--quick", action="store_true", help="small graphs")
    parser.add_argument("--json", action="store_true", help="rows alone, as JSON")
    parser.add_argument("--train", type=int, nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        train_once(*arguments.train)
        return
    rows = [*convolution_rows(arguments.quick), *scaling_rows(arguments.quick)]
    show(rows, as_json=arguments.json)


if __name__ == "__main__":
    main()
