"""The network of :mod:`scypher.kg.attention`: batches of cells, GATv2 layers, masked training.

Imports torch: load it only where a network is trained.
"""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from ..encoders.base import Progress
    from .attention import Floats, GraphAttentionConfig, Integers

with warnings.catch_warnings():
    # torch 2.15 deprecates torch.jit.script, which torch-geometric calls on import
    warnings.filterwarnings("ignore", message=r".*torch\.jit\.script", category=FutureWarning)
    from torch_geometric.nn import GATv2Conv

Bools = npt.NDArray[np.bool_]
_Z_LIMIT = 10.0
_DRAWS = 8


@dataclass(frozen=True)
class GeneEdges:
    """Gene -> cell edges of a batch: row of the cell in the batch, gene, log1p value."""

    cell: "Integers"
    gene: "Integers"
    value: "Floats"

    def __getitem__(self, chosen: Bools) -> "GeneEdges":
        return GeneEdges(self.cell[chosen], self.gene[chosen], self.value[chosen])

    def __len__(self) -> int:
        return len(self.cell)


@dataclass(frozen=True)
class Bipartite:
    """The graph as arrays: cells with their genes, codes and metadata values.

    Genes, codes and values are numbered among those that occur; -1 is unknown. ``values`` is
    (n_cells, n_fields), numbered through all fields: field f has ``first[f]`` to ``first[f + 1]``.
    """

    cells: "Floats"
    centre: npt.NDArray[np.float64]
    scale: float
    tokens: csr_matrix
    gene_number: "Integers"
    gene_features: "Floats"
    codes: "Integers"
    codebook: "Floats"
    fields: tuple[str, ...]
    values: "Integers"
    first: "Integers"

    @classmethod
    def of(
        cls,
        cells: "Floats",
        tokens: csr_matrix,
        gene_features: "Floats",
        *,
        codes: "Integers",
        codebook: "Floats",
        metadata: "dict[str, Integers]",
    ) -> "Bipartite":
        """Number what occurs and measure the location and scale of the embedding."""
        genes = np.flatnonzero(np.bincount(tokens.indices, minlength=tokens.shape[1]))
        gene_number = np.full(tokens.shape[1], -1)
        gene_number[genes] = np.arange(len(genes))
        known = gene_features[genes]
        norm = np.linalg.norm(known, axis=1, keepdims=True)
        features = known / np.where(norm > 0, norm, 1) * math.sqrt(known.shape[1])
        centre = cells.mean(axis=0, dtype=np.float64)
        spread = np.einsum("ij,ij->j", cells, cells, dtype=np.float64) / len(cells) - centre**2
        present, code_number = _renumber(codes)
        numbered = {field: _renumber(values) for field, values in metadata.items()}
        first = np.cumsum([0, *(len(found) for found, _ in numbered.values())])
        columns = [
            np.where(number >= 0, number + start, -1)
            for start, (_, number) in zip(first[:-1], numbered.values(), strict=True)
        ]
        return cls(
            cells=cells,
            centre=centre,
            scale=float(np.sqrt(max(spread.mean(), 0.0))) or 1.0,
            tokens=tokens,
            gene_number=gene_number,
            gene_features=features.astype(np.float32),
            codes=code_number,
            codebook=codebook[present].astype(np.float32),
            fields=tuple(metadata),
            values=np.stack(columns, axis=1) if columns else np.zeros((len(cells), 0), np.int64),
            first=first,
        )

    def positions(self, rows: "Integers") -> "tuple[Integers, Integers]":
        """Return, for the gene edges of cells, place in ``rows`` and in the arrays of tokens."""
        start = self.tokens.indptr[rows].astype(np.int64)
        count = self.tokens.indptr[rows + 1] - start
        cell = np.repeat(np.arange(len(rows)), count)
        return cell, np.arange(len(cell)) + (start - np.cumsum(count) + count)[cell]

    def edges(self, cell: "Integers", position: "Integers") -> GeneEdges:
        """Return the gene edges at positions of the tokens."""
        gene = self.gene_number[self.tokens.indices[position]]
        return GeneEdges(cell, gene, self.tokens.data[position].astype(np.float32))


@dataclass(frozen=True)
class Popularity:
    """Per gene: number of cells, mean and standard deviation of value with absent as 0."""

    degree: npt.NDArray[np.float64]
    mean: npt.NDArray[np.float64]
    sd: npt.NDArray[np.float64]

    @classmethod
    def of(cls, graph: Bipartite, known: Bools) -> "Popularity":
        """Count over the known edges only: what is held out must not shape the rest."""
        size, cells = len(graph.gene_features), graph.tokens.shape[0]
        gene = graph.gene_number[graph.tokens.indices[known]]
        value = graph.tokens.data[known]
        mean = np.bincount(gene, weights=value, minlength=size) / cells
        square = np.bincount(gene, weights=value**2, minlength=size) / cells
        sd = np.sqrt(np.maximum(square - mean**2, 0))
        return cls(np.bincount(gene, minlength=size).astype(float), mean, sd)


@dataclass(frozen=True)
class Messages:
    """What the network sees of a batch: the only edges that carry messages.

    ``genes`` lists the genes of the batch; row 0 of an edge array is the source (place in
    ``genes``, code, metadata value), row 1 the cell.
    """

    cells: Tensor
    genes: Tensor
    gene_features: Tensor
    gene_edges: Tensor
    gene_attributes: Tensor
    code_edges: Tensor
    value_edges: Tensor


@dataclass(frozen=True)
class Step:
    """A batch with what is hidden from it.

    ``hidden`` are true gene edges, ``absent`` genes that the cells have not (value 0); ``codes``
    and ``values`` hold the hidden code and value number of every cell, -1 where nothing is hidden.
    """

    messages: Messages
    hidden: GeneEdges
    absent: GeneEdges
    codes: "Integers"
    values: "Integers"
    field: int


def see(
    graph: Bipartite,
    rows: "Integers",
    visible: GeneEdges,
    *,
    codes: "Integers",
    values: "Integers",
    popularity: Popularity,
    further: "tuple[Integers, ...]" = (),
) -> Messages:
    """Return the batch of cells ``rows`` with the visible edges; ``further`` genes are scored."""
    genes = np.unique(np.concatenate([visible.gene, *further]))
    with_code, (with_value, field) = np.flatnonzero(codes >= 0), np.nonzero(values >= 0)
    cells = (graph.cells[rows] - graph.centre) / graph.scale
    return Messages(
        cells=torch.from_numpy(cells.astype(np.float32)),
        genes=torch.from_numpy(genes),
        gene_features=torch.from_numpy(graph.gene_features[genes]),
        gene_edges=_pairs(np.searchsorted(genes, visible.gene), visible.cell),
        gene_attributes=torch.from_numpy(attributes(visible, popularity)),
        code_edges=_pairs(codes[with_code], with_code),
        value_edges=_pairs(values[with_value, field], with_value),
    )


def attributes(edges: GeneEdges, popularity: Popularity) -> "Floats":
    """Return (n_edges, 3): value, share of the cell's edges not above it, z-score over cells."""
    order = np.lexsort((edges.value, edges.cell))
    cell, value = edges.cell[order], edges.value[order]
    last = np.append((cell[1:] != cell[:-1]) | (value[1:] != value[:-1]), True)[: len(order)]
    ends = np.flatnonzero(last)
    upto = np.repeat(ends + 1, np.diff(ends, prepend=-1))
    count = np.bincount(edges.cell, minlength=1)
    before = np.cumsum(count) - count
    rank = np.empty(len(order))
    rank[order] = (upto - before[cell]) / count[cell]
    sd = popularity.sd[edges.gene]
    z = (edges.value - popularity.mean[edges.gene]) / np.where(sd > 0, sd, 1)
    columns = (edges.value, rank, np.clip(z, -_Z_LIMIT, _Z_LIMIT))
    return np.stack(columns, axis=1).astype(np.float32)


def absent_genes(
    edges: GeneEdges, cell: "Integers", popularity: Popularity, rng: np.random.Generator
) -> GeneEdges:
    """Draw for every entry of ``cell`` a gene it has no edge to, in proportion to its degree.

    ``edges`` are all edges of these cells. A draw that hits an edge is repeated, at most eight
    times; entries that never miss (cells with nearly every gene) are left out.
    """
    size = len(popularity.degree)
    cumulative = np.cumsum(popularity.degree)
    if not cumulative[-1]:
        return GeneEdges(cell[:0], cell[:0], np.zeros(0, np.float32))
    taken = edges.cell * size + edges.gene
    gene = np.full(len(cell), -1)
    for _ in range(_DRAWS):
        open_ = np.flatnonzero(gene < 0)
        point = rng.random(len(open_)) * cumulative[-1]
        draw = np.minimum(np.searchsorted(cumulative, point, side="right"), size - 1)
        free = ~np.isin(cell[open_] * size + draw, taken)
        gene[open_[free]] = draw[free]
    found = gene >= 0
    return GeneEdges(cell[found], gene[found], np.zeros(int(found.sum()), np.float32))


def hide(
    graph: Bipartite,
    rows: "Integers",
    known: Bools,
    *,
    popularity: Popularity,
    share: float,
    rng: np.random.Generator,
) -> Step:
    """Hide edges of a batch: a share of its genes, and code and one field of half of its cells."""
    cell, position = graph.positions(rows)
    every = graph.edges(cell, position)
    hidden = known[position] & (rng.random(len(cell)) < share)
    visible = known[position] & ~hidden
    absent = absent_genes(every, cell[hidden], popularity, rng)
    codes, values = graph.codes[rows], graph.values[rows]
    hidden_codes = np.where(rng.random(len(rows)) < 0.5, codes, -1)
    if len(graph.codebook) < 2:
        hidden_codes = np.full(len(rows), -1)
    fields = np.flatnonzero(np.diff(graph.first) > 1)
    field = int(rng.choice(fields)) if len(fields) else -1
    hidden_values = np.full(len(rows), -1)
    shown = values.copy()
    if field >= 0:
        hidden_values = np.where(rng.random(len(rows)) < 0.5, values[:, field], -1)
        shown[hidden_values >= 0, field] = -1
    messages = see(
        graph,
        rows,
        every[visible],
        codes=np.where(hidden_codes >= 0, -1, codes),
        values=shown,
        popularity=popularity,
        further=(every.gene[hidden], absent.gene),
    )
    return Step(messages, every[hidden], absent, hidden_codes, hidden_values, field)


class PairScore(nn.Module):
    """Score of (cell, gene) pairs: ``U x_c . V x_g / sqrt(hidden) + w . x_g + b``."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.cell = nn.Linear(hidden, hidden, bias=False)
        self.gene = nn.Linear(hidden, hidden, bias=False)
        self.offset = nn.Linear(hidden, 1)

    def forward(self, cells: Tensor, genes: Tensor, pairs: Tensor) -> Tensor:
        """Return (n_pairs,) for pairs of (gene, cell)."""
        left = self.cell(cells).index_select(0, pairs[1])
        right = self.gene(genes).index_select(0, pairs[0])
        offset = self.offset(genes).squeeze(1).index_select(0, pairs[0])
        score: Tensor = (left * right).sum(1) / math.sqrt(left.shape[1]) + offset
        return score


class Network(nn.Module):
    """Layers of GATv2, one convolution per edge type, towards the cells."""

    codebook: Tensor

    def __init__(self, graph: Bipartite, config: "GraphAttentionConfig") -> None:
        super().__init__()
        size = config.hidden
        n_values = int(graph.first[-1])
        slots = max(n_values, 1)  # torch warns of empty weights
        self.register_buffer("codebook", torch.from_numpy(graph.codebook))
        self.cell_in = nn.Linear(graph.cells.shape[1], size)
        self.gene_in = nn.Linear(graph.gene_features.shape[1], size, bias=False)
        self.gene_own = nn.Embedding(len(graph.gene_features), size)
        self.code_in = nn.Linear(graph.codebook.shape[1], size)
        self.value_own = nn.Embedding(slots, size)
        self.cell_norm, self.gene_norm = nn.LayerNorm(size), nn.LayerNorm(size)
        sizes = {"gene": 3, **({"code": None} if len(graph.codebook) else {})}
        sizes |= {"value": None} if n_values else {}
        self.convolutions = nn.ModuleList(
            nn.ModuleDict(
                {
                    # Bipartite edges: a self-loop would join a gene and a cell of equal number.
                    kind: GATv2Conv(
                        (size, size),
                        size // config.heads,
                        heads=config.heads,
                        add_self_loops=False,
                        edge_dim=edge_size,
                    )
                    for kind, edge_size in sizes.items()
                }
            )
            for _ in range(config.layers)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in range(config.layers))
        self.dropout = nn.Dropout(config.dropout)
        self.existence, self.value = PairScore(size), PairScore(size)
        self.code_out = nn.Linear(size, size)
        self.value_out = nn.Linear(size, slots)

    def forward(
        self, batch: Messages, weights: bool = False
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Return states of cells and genes, and per edge type the (n_edges, heads) attention."""
        cells = self.cell_norm(self.cell_in(batch.cells))
        genes = self.gene_norm(self.gene_in(batch.gene_features) + self.gene_own(batch.genes))
        sources = {"gene": genes, "code": self.codes(), "value": self.value_own.weight}
        edges = {"gene": batch.gene_edges, "code": batch.code_edges, "value": batch.value_edges}
        attention: dict[str, Tensor] = {}
        for layer, (convolutions, norm) in enumerate(
            zip(self.convolutions, self.norms, strict=True), start=1
        ):
            assert isinstance(convolutions, nn.ModuleDict)
            total = torch.zeros_like(cells)
            for kind, convolution in convolutions.items():
                ends = (sources[kind], cells)
                edge_attributes = batch.gene_attributes if kind == "gene" else None
                if weights and layer == len(self.norms):
                    # Any value of the argument counts as set: pass it only here.
                    message, (_, attention[kind]) = convolution(
                        ends, edges[kind], edge_attributes, return_attention_weights=True
                    )
                else:
                    message = convolution(ends, edges[kind], edge_attributes)
                total = total + message
            cells = norm(cells + self.dropout(functional.gelu(total)))
        return cells, genes, attention

    def codes(self) -> Tensor:
        """Return (n_codes, hidden) states of the codes."""
        states: Tensor = self.code_in(self.codebook)
        return states

    def losses(self, step: Step, first: "Integers") -> dict[str, Tensor]:
        """Return the terms of the loss; a term without anything to predict is left out."""
        cells, genes, _ = self(step.messages)
        terms: dict[str, Tensor] = {}
        if len(step.hidden):
            pairs = _local(step.messages, step.hidden, step.absent)
            truth = torch.zeros(pairs.shape[1])
            truth[: len(step.hidden)] = 1
            score = self.existence(cells, genes, pairs)
            terms["existence"] = functional.binary_cross_entropy_with_logits(score, truth)
            value = self.value(cells, genes, pairs[:, : len(step.hidden)])
            terms["value"] = functional.mse_loss(value, torch.from_numpy(step.hidden.value))
        chosen = np.flatnonzero(step.codes >= 0)
        if len(chosen):
            asked = self.code_out(cells.index_select(0, torch.from_numpy(chosen)))
            score = asked @ self.codes().T / math.sqrt(asked.shape[1])
            terms["code"] = functional.cross_entropy(score, torch.from_numpy(step.codes[chosen]))
        chosen = np.flatnonzero(step.values >= 0)
        if len(chosen):
            start, stop = int(first[step.field]), int(first[step.field + 1])
            asked = self.value_out(cells.index_select(0, torch.from_numpy(chosen)))[:, start:stop]
            truth = torch.from_numpy(step.values[chosen] - start)
            terms["metadata"] = functional.cross_entropy(asked, truth)
        return terms


def train(
    graph: Bipartite, config: "GraphAttentionConfig", seed: int, progress: "Progress"
) -> "tuple[Floats, dict[str, Floats], Floats, list[dict[str, Any]]]":
    """Train, restore the best epoch and return gene and metadata attention, states, history."""
    rng = np.random.default_rng(seed)
    watched, known = _hold_out(graph, config, rng)
    popularity = Popularity.of(graph, known)
    # Dropout and the initial weights draw from the global generator of the CPU: lend it.
    with _threads(config.threads), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = Network(graph, config)
        # Start the prediction of values at their mean, or its error drowns the other goals.
        nn.init.constant_(network.value.offset.bias, float(graph.tokens.data[known].mean()))
        history: list[dict[str, Any]] = []
        best, weights = -1, _copy(network)
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        for epoch in range(config.epochs):
            network.train()
            terms = [
                _update(network, optimiser, graph, rows, known, popularity, config, rng)
                for rows in _batches(rng.permutation(len(graph.cells)), config.batch_cells)
            ]
            score = _judge(network, graph, watched, known, popularity, config, seed)
            history.append({"epoch": epoch + 1, **_mean(terms), **score})
            progress("graph attention", epoch + 1, config.epochs + 1)
            reached = history[best]["auroc"] if best >= 0 else np.nan
            if not score["auroc"] <= reached:
                best, weights = epoch, _copy(network)
            elif epoch - best >= config.patience:
                break
        network.load_state_dict(weights)
        result = _read(network, graph, popularity, config)
    for epoch, row in enumerate(history):
        row["kept"] = epoch == best
    progress("graph attention", config.epochs + 1, config.epochs + 1)
    return *result, history


def _update(
    network: Network,
    optimiser: torch.optim.Optimizer,
    graph: Bipartite,
    rows: "Integers",
    known: Bools,
    popularity: Popularity,
    config: "GraphAttentionConfig",
    rng: np.random.Generator,
) -> dict[str, float]:
    step = hide(graph, rows, known, popularity=popularity, share=config.hide, rng=rng)
    terms = network.losses(step, graph.first)
    scale = {
        "existence": config.existence_weight,
        "value": config.existence_weight,
        "code": config.code_weight,
        "metadata": config.metadata_weight,
    }
    if not terms:
        return {}
    loss = torch.stack([scale[name] * term for name, term in terms.items()]).sum()
    optimiser.zero_grad()
    torch.autograd.backward(loss)
    optimiser.step()
    return {"loss": loss.item(), **{name: term.item() for name, term in terms.items()}}


def _hold_out(
    graph: Bipartite, config: "GraphAttentionConfig", rng: np.random.Generator
) -> "tuple[Integers, Bools]":
    """Return the cells that lose edges to validation and, per token, whether training knows it."""
    size = min(config.held_out_cells, len(graph.cells))
    watched = np.sort(rng.choice(len(graph.cells), size, replace=False))
    _, position = graph.positions(watched)
    known = np.ones(graph.tokens.nnz, dtype=bool)
    known[position[rng.random(len(position)) < config.held_out]] = False
    if not known.any():
        known[:] = True
    return watched, known


@torch.inference_mode()
def _judge(
    network: Network,
    graph: Bipartite,
    watched: "Integers",
    known: Bools,
    popularity: Popularity,
    config: "GraphAttentionConfig",
    seed: int,
) -> dict[str, float]:
    """Return the AUROC of held-out edges against absent genes, ours and by popularity."""
    from sklearn.metrics import roc_auc_score

    network.eval()
    # The same absent genes in every epoch, so that epochs can be compared.
    rng = np.random.default_rng([seed, 1])
    truth, ours, popular = [np.zeros(0)], [np.zeros(0)], [np.zeros(0)]
    for rows in _batches(watched, config.batch_cells):
        cell, position = graph.positions(rows)
        every = graph.edges(cell, position)
        held = every[~known[position]]
        absent = absent_genes(every, held.cell, popularity, rng)
        batch = see(
            graph,
            rows,
            every[known[position]],
            codes=graph.codes[rows],
            values=graph.values[rows],
            popularity=popularity,
            further=(held.gene, absent.gene),
        )
        cells, genes, _ = network(batch)
        ours.append(network.existence(cells, genes, _local(batch, held, absent)).numpy())
        count = np.bincount(cell[known[position]], minlength=len(rows))
        for edges, label in ((held, 1), (absent, 0)):
            truth.append(np.full(len(edges), label))
            popular.append(popularity.degree[edges.gene] * count[edges.cell])
    labels = np.concatenate(truth)
    if not 0 < labels.sum() < len(labels):
        return {"auroc": np.nan, "auroc_popularity": np.nan}
    return {
        "auroc": float(roc_auc_score(labels, np.concatenate(ours))),
        "auroc_popularity": float(roc_auc_score(labels, np.concatenate(popular))),
    }


@torch.inference_mode()
def _read(
    network: Network, graph: Bipartite, popularity: Popularity, config: "GraphAttentionConfig"
) -> "tuple[Floats, dict[str, Floats], Floats]":
    """Return attention x in-degree of genes and fields and the states, over all edges."""
    network.eval()
    genes = np.zeros(graph.tokens.nnz, np.float32)
    fields = np.full(graph.values.shape, np.nan, np.float32)
    embedding = np.zeros((len(graph.cells), config.hidden), np.float32)
    for rows in _batches(np.arange(len(graph.cells)), config.batch_cells):
        cell, position = graph.positions(rows)
        values = graph.values[rows]
        batch = see(
            graph,
            rows,
            graph.edges(cell, position),
            codes=graph.codes[rows],
            values=values,
            popularity=popularity,
        )
        cells, _, attention = network(batch, weights=True)
        embedding[rows] = cells.numpy()
        degree = np.bincount(cell, minlength=len(rows))
        genes[position] = attention["gene"].mean(1).numpy() * degree[cell]
        if "value" in attention:
            known = values >= 0
            block = np.full(values.shape, np.nan, np.float32)
            block[known] = attention["value"].mean(1).numpy()
            fields[rows] = block * known.sum(axis=1, keepdims=True)
    return genes, {field: fields[:, f].copy() for f, field in enumerate(graph.fields)}, embedding


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _renumber(values: "Integers") -> "tuple[Integers, Integers]":
    """Return the known values, sorted, and the place of every entry among them, or -1."""
    found = np.unique(values[values >= 0])
    return found, np.where(values >= 0, np.searchsorted(found, values), -1)


def _batches(rows: "Integers", size: int) -> "Iterator[Integers]":
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _pairs(source: "Integers", target: "Integers") -> Tensor:
    return torch.from_numpy(np.stack([source, target]).astype(np.int64))


def _local(batch: Messages, *edges: GeneEdges) -> Tensor:
    """Return pairs of (place of the gene in the batch, cell)."""
    gene = np.concatenate([part.gene for part in edges])
    cell = np.concatenate([part.cell for part in edges])
    return _pairs(np.searchsorted(batch.genes.numpy(), gene), cell)


def _copy(network: Network) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def _mean(terms: list[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each term over the steps that had it, ``NaN`` where none had."""
    names = ("loss", "existence", "value", "code", "metadata")
    found = {name: [step[name] for step in terms if name in step] for name in names}
    return {name: float(np.mean(values)) if values else np.nan for name, values in found.items()}
