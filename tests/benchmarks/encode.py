"""Speed and memory of encoding and training, beside the same model written densely.

Cells are generated with a fixed number of expressed genes. The dense peer is CellVQ mini with
padded tokens, keys and values multiplied out per token and dense attention; it gives the same
embedding (the largest difference is a row of its own). Peak memory is measured in a process of its
own.

    python tests/benchmarks/encode.py --data DIR [--quick] [--json]
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from rows import Row, row, show
from scipy import sparse
from torch import Tensor

from scypher.encoders.cellvq.inference import read_cells
from scypher.encoders.cellvq.model import CellVQ
from scypher.encoders.cellvq.tokens import Tokens, tokenise
from scypher.encoders.cellvq.weights import load_model
from scypher.encoders.counts import normalise

DEPTH = 5000.0

PARTS = ("data", "indices", "indptr")


def make_cells(n: int, n_expressed: int, n_genes: int, seed: int = 0) -> sparse.csr_matrix:
    """Return counts of cells that express exactly ``n_expressed`` genes each."""
    rng = np.random.default_rng(seed)
    step = n_genes // n_expressed
    start = rng.integers(0, step, (n, n_expressed)) + np.arange(n_expressed) * step
    counts = rng.geometric(0.4, n * n_expressed).astype(np.float32)
    indptr = np.arange(n + 1) * n_expressed
    return sparse.csr_matrix((counts, start.ravel(), indptr), shape=(n, n_genes))


def dense_read(model: CellVQ, tokens: Tokens) -> tuple[Tensor, Tensor]:
    """Return embedding and attention of equally long cells with everything multiplied out."""
    reader, config = model.reader, model.config
    n = len(tokens.indptr) - 1
    gene, value = tokens.gene.view(n, -1), tokens.value.view(n, -1)
    loadings = model.loadings[gene]
    positions = reader.gene_key(model.loadings * config.n_genes**0.5)
    keys = reader.gene_key(loadings * config.n_genes**0.5)
    keys = keys + reader.prior.taken[gene] @ (reader.prior.given.T @ positions)
    query = reader.query.T * config.key_width**-0.5
    place = (value * ((config.n_bins - 1) / np.log1p(1e4))).clamp(0, config.n_bins - 1 - 1e-4)
    centres = torch.arange(config.n_bins)
    bins = (1 - (place.unsqueeze(2) - centres).abs()).clamp_min(0)
    logits = config.bound * torch.tanh(keys @ query / config.bound)
    logits = logits + bins @ (config.bound * torch.tanh(reader.value_key @ query / config.bound))
    attention = logits.softmax(dim=1)
    values = loadings * (value / model.scale[gene]).unsqueeze(2) * gene.shape[1]
    heads = values.view(n, gene.shape[1], config.n_latents, -1).transpose(1, 2)
    read = (attention.transpose(1, 2).unsqueeze(2) @ heads).flatten(1) - model.centre
    return reader.mix(read, tokens.depth), attention


def rate(run: Callable[[], object], n: int, repeats: int = 3) -> float:
    """Return cells a second, the best of some runs after a first one."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return n / min(times)


@torch.no_grad()
def encoding_rows(quick: bool) -> list[Row]:
    """Measure encoding against the dense peer."""
    return [item for expressed in (360, 1024) for item in _encoding(expressed, quick)]


def _encoding(expressed: int, quick: bool) -> list[Row]:
    model = load_model().model
    n = 500 if quick else 4000
    totals = np.full(n, DEPTH)
    values = normalise(make_cells(n, expressed, model.config.n_genes), totals)
    ours = rate(lambda: read_cells(model, values, totals), n)
    tokens = tokenise(values[:256], totals[:256])

    def dense() -> object:
        embedding, attention = dense_read(model, tokens)
        return embedding, attention.mean(dim=2).topk(64, dim=1)

    peer = rate(dense, 256)
    case = f"cellvq mini, {expressed} expressed genes"
    theirs = dense_read(model, tokens)[0].numpy()
    difference = np.abs(read_cells(model, values[:256], totals[:256])[0] - theirs).max()
    return [
        row(case, "encoding", unit="cells/s", ours=ours, peer=peer, peer_name="dense attention"),
        row(
            case,
            "largest difference, of embeddings of unit variance",
            unit="1e-6",
            ours=float(difference) * 1e6,
            peer=0.0,
            peer_name="dense attention",
        ),
    ]


def training_rows(data: Path, quick: bool) -> list[Row]:
    """Measure training steps on corpus cells of at most 1,024 genes against the dense peer."""
    from scypher.encoders.cellvq.objective import CellVQBatch, make_objective, reconstruction
    from scypher.encoders.training.objective import Block
    from scypher.encoders.training.source import Source

    files = sorted((data / "corpus").glob("*.h5ad"))[:3]
    if not files:
        return []
    source = Source(files, min_sets=1)
    objective = make_objective({}, source)
    optimiser = torch.optim.AdamW(objective.groups(1e-3), weight_decay=0.0, fused=True)
    n_genes = len(source.genes)
    n, size = (4 if quick else 16), 128
    counts = make_cells(n * size, 1024, n_genes)
    totals = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    zeros = np.zeros(size, np.int64)
    blocks = [
        Block(counts[i * size : (i + 1) * size], totals[i * size : (i + 1) * size], zeros, zeros)
        for i in range(n)
    ]

    def prepare(number: int) -> CellVQBatch:
        return objective.prepare(blocks[number], np.random.default_rng(number))

    def step(batch: CellVQBatch) -> None:
        loss = objective(batch)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
        optimiser.step()

    def ours() -> None:
        # As the training loop does it: the next block is prepared while this one is computed.
        with ThreadPoolExecutor(1) as ahead:
            following = ahead.submit(prepare, 0)
            for number in range(n):
                batch = following.result()
                if number + 1 < n:
                    following = ahead.submit(prepare, number + 1)
                step(batch)

    model = objective.model

    def peer() -> None:
        # Padded tokens, keys and values multiplied out, and every gene decoded.
        for block in blocks[:2]:
            values = normalise(block.counts, block.totals)
            cell, _ = dense_read(model, tokenise(values, block.totals))
            full = torch.arange(n_genes).repeat(size)
            indptr = torch.arange(size + 1) * n_genes
            given = torch.from_numpy(block.counts.toarray().ravel())
            target = objective.prepare(block, np.random.default_rng(0)).target._replace(
                indptr=indptr,
                gene=full,
                asked=given,
                totals=torch.from_numpy(np.repeat(block.totals, n_genes).astype(np.float32)),
                weight=torch.full((len(full),), 1 / n_genes),
            )
            loss = reconstruction(model, cell, target)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()

    return [
        row(
            "cellvq mini, 1,024 expressed genes",
            "training",
            unit="cells/s",
            ours=rate(ours, n * size, 2),
            peer=rate(peer, 2 * size, 1),
            peer_name="padded tokens, full decoder",
        )
    ]


def memory_rows(quick: bool) -> list[Row]:
    """Measure the peak beyond input and result of encoding few and many cells, each on its own."""
    few, many = (1000, 4000) if quick else (5000, 50_000)
    n_genes = load_model().model.config.n_genes
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        for n in (few, many):
            # Made here: what making the cells takes is none of what encoding them takes.
            path = Path(folder) / f"{n}.npz"
            cells = normalise(make_cells(n, 360, n_genes), np.full(n, DEPTH))
            sparse.save_npz(path, cells, compressed=False)
            command = [sys.executable, __file__, "--peak", str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            peaks.append(float(done.stdout))
    return [
        row(
            f"cellvq mini, {few} cells beside {many}",
            "peak memory beyond input and result",
            unit="MB",
            ours=peaks[0],
            peer=peaks[1],
            peer_name=f"{many} cells",
        )
    ]


def peak(path: Path) -> float:
    """Return the peak memory of a process that encodes cells, less input and result, MB."""
    model = load_model().model
    values = sparse.csr_matrix(sparse.load_npz(path))
    embedding, attention = read_cells(model, values, np.full(values.shape[0], DEPTH))
    # Not getrusage: a child begins with the peak of the process that started it.
    lines = Path("/proc/self/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    whole = int(status["VmHWM"].split()[0]) * 1024
    held = [embedding, *(getattr(item, part) for item in (values, attention) for part in PARTS)]
    return (whole - sum(array.nbytes for array in held)) / 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Speed and memory of encoders.")
    parser.add_argument("--data", type=Path, default=Path("."), help="folder of data sets")
    parser.add_argument("--quick", action="store_true", help="fewer cells")
    parser.add_argument("--json", action="store_true", help="rows alone, as JSON")
    parser.add_argument("--peak", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        sys.stdout.write(f"{peak(arguments.peak)}\n")
        return
    rows = encoding_rows(arguments.quick)
    rows += training_rows(arguments.data, arguments.quick)
    rows += memory_rows(arguments.quick)
    show(rows, as_json=arguments.json)


if __name__ == "__main__":
    main()
