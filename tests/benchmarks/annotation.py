"""What an encoder is worth beside plain methods: cell types, codes, reconstruction.

Cell types: macro F1 by the protocol of scypher.encoders.evaluation, over batches left out one at a
time (five random folds where there is one batch), of a linear probe and of a multilayer perceptron
on the frozen and on the adapted embedding. The corpus SVD is what the encoder computes before any
training, at as many dimensions; it is made from the corpus in the data folder, which takes minutes.
Codes: normalised mutual information with the labels of as many groups of codes as Leiden finds on
50 principal components. Reconstruction: expression from the order of genes, beside published means
of other data.

    python tests/benchmarks/annotation.py --data DIR [--quick] [--json] [--sets NAME …]
"""

import argparse
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from rows import Row, row, show
from scipy import sparse

from scypher.encoders.cellvq.svd import CorpusSVD, corpus_svd
from scypher.encoders.counts import normalise
from scypher.encoders.evaluation.annotation import probe_embedding
from scypher.encoders.evaluation.frame import join, summarise, to_frame
from scypher.encoders.evaluation.run import encode_both, measure, mlp_repeats
from scypher.encoders.evaluation.sets import SETS, Labelled, read_labelled
from scypher.encoders.reading import to_columns
from scypher.encoders.training.source import Source

RECONSTRUCTED = ("pancreas_three_studies", "blood_pbmc3k")
SVD_NAME = "corpus SVD"
SEEDS = 5


@cache
def read_svd(corpus: Path, n_components: int) -> tuple[CorpusSVD, list[str]]:
    """Return the SVD of all files of a folder, and its genes."""
    source = Source(sorted(corpus.glob("*.h5ad")))
    return corpus_svd(source, n_components, seed=0), source.genes


def svd_embedding(data: Labelled, svd: CorpusSVD, genes: Sequence[str]) -> np.ndarray:
    """Return the embedding that a corpus SVD gives: (n_cells, n_components)."""
    column = pd.Index(genes).get_indexer(pd.Index(data.cells.genes["ensembl_id"]))
    counts = to_columns(data.cells.counts, column, len(genes))
    values = normalise(counts, data.cells.totals)
    scaled = sparse.csr_matrix(values @ sparse.diags(1 / svd.scale))
    return np.asarray(np.asarray(scaled @ svd.loadings) - svd.centre)


def measure_set(path: Path, encoder: str, *, quick: bool) -> pd.DataFrame:
    """Return the means of all that is measured on one data set."""
    data = read_labelled(path)
    split = "intra" if data.batch is None else "inter"
    encodings = encode_both(data, encoder)
    tasks = [split, "codes", *(["reconstruction"] if path.stem in RECONSTRUCTED else [])]
    seeds = () if quick else mlp_repeats(data, SEEDS)
    frames = measure(data, encodings, tasks=tasks, mlp_seeds=seeds)
    if not quick:
        svd, genes = read_svd(path.parent / "corpus", encodings[encoder].embedding.shape[1])
        values = probe_embedding(data, svd_embedding(data, svd, genes), split)
        frames.append(to_frame(values, dataset=data.name, encoder=SVD_NAME))
    return summarise(join(frames))


def to_rows(means: pd.DataFrame) -> list[Row]:
    """Return the comparisons of one data set."""
    return [*_annotation(means), *_codes(means), *_reconstruction(means)]


def _annotation(means: pd.DataFrame) -> list[Row]:
    f1 = means[(means["measure"] == "macro F1") & (means["n"] > 0)]
    of_svd = f1["encoder"] == SVD_NAME
    ours = f1[~f1["baseline"] & ~of_svd & (f1["probe"] != "kNN")]
    plain = f1[f1["baseline"] | (of_svd & (f1["probe"] == "linear probe"))]
    names = ["dataset", "split", "encoder", "probe"]
    return [
        row(
            ", ".join(our[names]),
            "macro F1",
            unit="share",
            ours=float(our["mean"]),
            peer=float(peer["mean"]),
            peer_name=str(peer["encoder"]),
        )
        for _, our in ours.iterrows()
        for _, peer in plain.iterrows()
    ]


def _codes(means: pd.DataFrame) -> list[Row]:
    codes = means[means["measure"] == "NMI of merged codes"]
    peer = codes.loc[codes["baseline"], "mean"].item()
    return [
        row(
            f"{dataset}, codes of {encoder} merged",
            "NMI",
            unit="share",
            ours=value,
            peer=peer,
            peer_name="Leiden on 50 PCs, as many groups",
        )
        for dataset, encoder, value in codes.loc[
            ~codes["baseline"], ["dataset", "encoder", "mean"]
        ].itertuples(index=False)
    ]


def _reconstruction(means: pd.DataFrame) -> list[Row]:
    found = means[(means["task"] == "reconstruction") & means["mean"].map(math.isfinite)]
    rows = []
    for words in ("all genes", "variable genes"):
        of_words = found[found["encoder"].str.contains(f", {words}", regex=False)]
        peers = of_words[of_words["baseline"]].set_index("measure")["mean"]
        rows += [
            row(
                f"{dataset}, expression from ranks of {words}",
                str(measure),
                unit="share",
                ours=value,
                peer=peers[measure],
                peer_name="published mean of three tissues (other data)",
            )
            for dataset, measure, value in of_words.loc[
                ~of_words["baseline"], ["dataset", "measure", "mean"]
            ].itertuples(index=False)
        ]
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The shipped encoder beside plain methods.")
    parser.add_argument("--data", type=Path, required=True, help="folder of data sets")
    parser.add_argument("--sets", nargs="+", choices=sorted(SETS), help="only these data sets")
    parser.add_argument("--encoder", default="cellvq", help="encoder that stands as ours")
    parser.add_argument("--quick", action="store_true", help="without corpus SVD and perceptron")
    parser.add_argument("--json", action="store_true", help="rows alone, as JSON")
    arguments = parser.parse_args()
    rows: list[Row] = []
    for name in arguments.sets or SETS:
        path = arguments.data / f"{name}.h5ad"
        rows += to_rows(measure_set(path, arguments.encoder, quick=arguments.quick))
    show(rows, as_json=arguments.json)


if __name__ == "__main__":
    main()
