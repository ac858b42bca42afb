"""Graph attention: time against torch-geometric, and growth with the number of cells.

Convolutions: 64 gene edges a cell with three attributes each, width 64, four heads, and 15
neighbours a cell as a second relation; median of runs, same weights on both sides. Differences are
the largest one divided by the largest entry of its array, from torch-geometric in float64 and in
float32. Growth: a network of the default size
(two layers, ten epochs, without early stopping) is trained on and read over cells of about 120
genes each out of 20,000, in a process of its own; its peer is the smallest case (time), or the
goal of 15 minutes and 8 GB for 68,000 cells, in proportion.

    python tests/benchmarks/attention.py [--data DIR] [--quick] [--json]
"""

import argparse
import copy
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rows import Row, less, row, show
from scipy.sparse import csr_matrix
from torch import Tensor

from scypher.kg.attention import GraphAttentionConfig, attend
from scypher.kg.attention.convolution import GATv2, GATv2Conv

WIDTH, HEADS, N_GENES, DEGREE, NEAR = 64, 4, 2000, 64, 15
CONFIG = GraphAttentionConfig()
TOLERANCE = 1e-5
GOAL_CELLS, GOAL_SECONDS, GOAL_GB = 68_000, 15 * 60, 8.0


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


@dataclass(frozen=True)
class Relation:
    """Edges into cells, sorted by cell, with attributes."""

    kind: tuple[str, str, str]
    edges: Tensor
    attributes: Tensor
    sources: Tensor

    @classmethod
    def random(
        cls, kind: tuple[str, str, str], n_cells: int, *, n_sources: int, degree: int, edge_dim: int
    ) -> "Relation":
        """Return as many edges to random sources for every cell."""
        source = torch.randint(n_sources, (n_cells * degree,))
        edges = torch.stack([source, torch.arange(n_cells).repeat_interleave(degree)])
        attributes = torch.randn(n_cells * degree, edge_dim)
        return cls(kind, edges, attributes, torch.randn(n_sources, WIDTH))

    def layer(self) -> GATv2:
        """Return a layer for these edges."""
        dim = self.attributes.shape[1]
        return GATv2((WIDTH, WIDTH), WIDTH // HEADS, heads=HEADS, edge_dim=dim)


class Side:
    """One way to compute the same messages, of leaves of its own."""

    def __init__(
        self,
        relations: list[Relation],
        layers: list[GATv2],
        cells: Tensor,
        *,
        peer: bool,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.relations, self.peer = relations, peer
        self.cells, self.sources, self.attributes = (
            [item.detach().to(dtype).requires_grad_() for item in items]
            for items in (
                [cells],
                [relation.sources for relation in relations],
                [relation.attributes for relation in relations],
            )
        )
        self.layers = [copy.deepcopy(layer).to(dtype) for layer in layers]
        if peer:
            self.layers = [_peer_of(layer, dtype) for layer in layers]
        self.hetero = None
        if peer and len(relations) > 1:
            by_kind = {
                relation.kind: layer for relation, layer in zip(relations, self.layers, strict=True)
            }
            # After GATv2, which silences what torch-geometric warns of on import.
            from torch_geometric.nn import HeteroConv

            with warnings.catch_warnings():
                # Only the cells receive messages, as intended.
                warnings.filterwarnings("ignore", message="There exist node types")
                self.hetero = HeteroConv(by_kind, aggr="sum")

    def forward(self) -> Tensor:
        """Return the messages of the cells."""
        if self.hetero is not None:
            kinds = [relation.kind for relation in self.relations]
            out: Tensor = self.hetero(
                {
                    "cell": self.cells[0],
                    **{k[0]: x for k, x in zip(kinds, self.sources, strict=True)},
                },
                {relation.kind: relation.edges for relation in self.relations},
                edge_attr_dict=dict(zip(kinds, self.attributes, strict=True)),
            )["cell"]
            return out
        messages = [
            layer((sources, self.cells[0]), relation.edges, attributes)
            for layer, relation, sources, attributes in zip(
                self.layers, self.relations, self.sources, self.attributes, strict=True
            )
        ]
        return torch.stack(messages).sum(0) if len(messages) > 1 else messages[0]

    def outputs(self) -> tuple[Tensor, ...]:
        """Return the messages, without gradients."""
        with torch.no_grad():
            return (self.forward(),)

    def gradients(self, asked: Tensor) -> tuple[Tensor, ...]:
        """Return the gradients of the leaves and parameters of the messages times ``asked``."""
        leaves = [*self.cells, *self.sources, *self.attributes]
        parameters = [p for layer in self.layers for p in layer.parameters()]
        return torch.autograd.grad((self.forward() * asked).sum(), [*leaves, *parameters])


def _peer_of(layer: GATv2, dtype: torch.dtype) -> GATv2Conv:
    """Return the layer of torch-geometric with the same weights."""
    peer = GATv2Conv(
        (WIDTH, WIDTH),
        WIDTH // HEADS,
        heads=HEADS,
        edge_dim=layer.lin_edge.weight.shape[1],
        add_self_loops=False,
    )
    peer.load_state_dict(layer.state_dict())
    return peer.to(dtype)


def convolution_rows(quick: bool) -> list[Row]:
    """Measure one relation against GATv2Conv, and two against HeteroConv."""
    torch.manual_seed(0)
    n_cells = 2000 if quick else 10_000
    cells = torch.randn(n_cells, WIDTH)
    genes = Relation.random(
        ("gene", "in", "cell"), n_cells, n_sources=N_GENES, degree=DEGREE, edge_dim=3
    )
    near = Relation.random(
        ("near", "to", "cell"), n_cells, n_sources=n_cells, degree=NEAR, edge_dim=1
    )
    return [
        *_compare("one relation", [genes], cells, peer_name="GATv2Conv"),
        *_compare("two relations", [genes, near], cells, peer_name="HeteroConv of GATv2Conv"),
    ]


def _compare(name: str, relations: list[Relation], cells: Tensor, *, peer_name: str) -> list[Row]:
    case = f"{sum(relation.edges.shape[1] for relation in relations):,} edges, {name}"
    layers = [relation.layer() for relation in relations]
    ours, peer = (Side(relations, layers, cells, peer=is_peer) for is_peer in (False, True))
    exact = Side(relations, layers, cells, peer=True, dtype=torch.float64)
    asked = torch.randn(cells.shape)
    times = {
        "forward": [median_time(side.outputs, 5) for side in (ours, peer)],
        "forward and backward": [
            median_time(lambda side=side: side.gradients(asked), 5) for side in (ours, peer)
        ],
    }
    rows = [
        less(case, measure, unit="s", ours=mine, peer=theirs, peer_name=peer_name)
        for measure, (mine, theirs) in times.items()
    ]
    for measure, truth, found in (
        ("outputs", exact.outputs(), [side.outputs() for side in (ours, peer)]),
        ("gradients", exact.gradients(asked.double()), [s.gradients(asked) for s in (ours, peer)]),
    ):
        mine, theirs = (
            max(largest_difference(a, b) for a, b in zip(side, truth, strict=True))
            for side in found
        )
        unit = "of the largest entry"
        rows += [
            less(
                case,
                f"largest difference of {measure} from float64",
                unit=unit,
                ours=mine,
                peer=theirs,
                peer_name=peer_name,
            ),
            less(
                case,
                f"largest difference of {measure} from {peer_name}",
                unit=unit,
                ours=max(largest_difference(a, b) for a, b in zip(*found, strict=True)),
                peer=TOLERANCE,
                peer_name="tolerance",
            ),
        ]
    return rows


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


def peak_memory() -> int:
    """Return the peak of this process alone, in bytes; the parent's counts in ``getrusage``."""
    lines = Path("/proc/self/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    return int(status["VmHWM"].split()[0]) * 1024


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
        "peak": peak_memory(),
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
