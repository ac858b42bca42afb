"""Cell types across batches: the encoder beside the corpus SVD and plain methods.

One batch is left out at a time; a logistic regression learns on the others and predicts it; macro
F1 over the types that both sides have, averaged over batches. Embeddings are frozen and see no
label. The corpus SVD is what the encoder computes before any training; it is made from the corpus
in the data folder, which takes minutes (left out by --quick).

    python tests/benchmarks/annotation.py --data DIR [--quick] [--json]
"""

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rows import Row, row, show
from scipy import sparse

from scypher.encoders.cells import Cells, prepare
from scypher.encoders.cellvq.corpus import CorpusSVD, corpus_svd, read_corpus
from scypher.encoders.counts import normalise
from scypher.encoders.registry import get_encoder
from scypher.interpret.quality import principal_components
from scypher.interpret.variable_genes import select_genes

CASES = {
    "pancreas_three_studies": "batch",
    "blood_kang_ifnb": "condition",
    "celllines_sc_mixology": "batch",
    "blood_pbmc3k": None,
}
"""Data set -> column whose values are left out; without one, five random folds."""


def macro_f1(embedding: np.ndarray, labels: np.ndarray, fold: np.ndarray) -> float:
    """Return the mean over folds of macro F1 of a linear probe trained on the other folds."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score

    scores = []
    for left_out in np.unique(fold):
        train, test = fold != left_out, fold == left_out
        both = np.intersect1d(labels[train], labels[test])
        test &= np.isin(labels, both)
        mean, deviation = embedding[train].mean(0), embedding[train].std(0) + 1e-6
        probe = LogisticRegression(C=0.1, max_iter=500)
        probe.fit((embedding[train] - mean) / deviation, labels[train])
        predicted = probe.predict((embedding[test] - mean) / deviation)
        scores.append(f1_score(labels[test], predicted, labels=both, average="macro"))
    return float(np.mean(scores))


def svd_embedding(cells: Cells, svd: CorpusSVD, genes: list[str]) -> np.ndarray:
    """Return what the encoder computes before training."""
    column = {gene: position for position, gene in enumerate(genes)}
    known = [i for i, gene in enumerate(cells.genes["ensembl_id"]) if gene in column]
    chosen = [column[cells.genes["ensembl_id"].iloc[i]] for i in known]
    values = normalise(cells.counts, cells.totals)[:, known]
    scaled = sparse.csr_matrix(values @ sparse.diags(1 / svd.scale[chosen]))
    return np.asarray(scaled @ svd.loadings[chosen]) - svd.centre


def variable_genes(cells: Cells) -> np.ndarray:
    """Return log counts of 2,000 variable genes."""
    values = normalise(cells.counts, cells.totals)
    return np.asarray(values[:, select_genes(values, 2000)].todense())


def measure(data: Path, *, quick: bool) -> list[Row]:
    """Return the rows of all cases."""
    plain = get_encoder("cellvq", adapt=False)
    adapted = get_encoder("cellvq", adapt=True)
    peers: dict[str, Callable[[Cells], np.ndarray]] = {
        "50 PCs of all cells": lambda cells: principal_components(
            normalise(cells.counts, cells.totals), seed=0
        ),
        "2,000 variable genes": variable_genes,
    }
    if not quick:
        corpus = read_corpus(data / "corpus")
        values = normalise(corpus.counts, corpus.totals)
        svd = corpus_svd(values, corpus.batch, 128, np.random.default_rng(0))
        peers["corpus SVD, 128 components"] = lambda cells: svd_embedding(cells, svd, corpus.genes)
    rows = []
    for name, column in CASES.items():
        cells = prepare(data / f"{name}.h5ad")
        obs = cells.adata.obs
        labels = obs["cell_type"].astype(str).to_numpy()
        random = np.random.default_rng(0).integers(0, 5, len(labels)).astype(str)
        fold = random if column is None else obs[column].astype(str).to_numpy()
        known = labels != "unknown"
        for ours, encoder in (("frozen", plain), ("adapted", adapted)):
            embedding = encoder.encode(cells).embedding
            score = macro_f1(embedding[known], labels[known], fold[known])
            for peer, make in peers.items():
                other = macro_f1(make(cells)[known], labels[known], fold[known])
                case = f"{name}, {ours}"
                rows.append(
                    row(case, "macro F1", unit="share", ours=score, peer=other, peer_name=peer)
                )
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Cell types across batches.")
    parser.add_argument("--data", type=Path, required=True, help="folder of data sets")
    parser.add_argument("--quick", action="store_true", help="without the corpus SVD")
    parser.add_argument("--json", action="store_true", help="rows alone, as JSON")
    arguments = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # solvers that stop at their iteration limit
        rows = measure(arguments.data, quick=arguments.quick)
    show(rows, as_json=arguments.json)


if __name__ == "__main__":
    main()
