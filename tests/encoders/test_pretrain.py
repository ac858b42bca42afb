"""A pretraining run on tiny data: it learns, it goes on where it was stopped."""

import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from scipy import sparse

from scypher.encoders.cellvq.config import CellVQConfig
from scypher.encoders.cellvq.corpus import read_corpus
from scypher.encoders.cellvq.pretrain import (
    PretrainConfig,
    batch_entropy,
    initial_model,
    make_batch,
    pretrain,
    sample_cells,
    validate,
)
from scypher.encoders.cellvq.tokens import DEEPEST
from scypher.encoders.cellvq.weights import load_model
from scypher.encoders.vocabulary import gene_table

RUN = PretrainConfig(epochs=2, code_steps=3, batch=32, warmup=2, held_out=0.1, max_tokens=100)


@pytest.fixture(scope="module")
def corpus_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three data sets, the fewest of which genes are kept, with the same three groups of cells."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    genes = gene_table().query("gene_class == 'protein_coding' and symbol != ''").head(160)
    for number, n_cells in enumerate((150, 80, 60)):
        rate = rng.gamma(1, 1, (1, 160)) * (1 + number)
        rate = np.repeat(rate, n_cells, axis=0)
        for group in range(3):
            rate[group::3, group * 20 : group * 20 + 20] += 6
        obs = pd.DataFrame(
            {"batch": [f"b{cell % 2}" for cell in range(n_cells)]},
            index=[f"cell{cell}" for cell in range(n_cells)],
        )
        var = pd.DataFrame(
            {"ensembl_id": genes["ensembl_id"].to_numpy()}, index=genes["symbol"].to_numpy()
        )
        counts = sparse.csr_matrix(rng.poisson(rate).astype(np.float32))
        AnnData(counts, obs=obs, var=var).write_h5ad(folder / f"set{number}.h5ad")
    return folder


@pytest.fixture(scope="module")
def finished(corpus_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted run."""
    out = tmp_path_factory.mktemp("run") / "out"
    pretrain(corpus_dir, out, RUN)
    return out


def test_the_untrained_model_embeds_as_the_svd(corpus_dir: Path) -> None:
    corpus = read_corpus(corpus_dir)
    config = CellVQConfig(n_genes=len(corpus.genes), width=16, hidden=16, n_bits=3)
    model = initial_model(corpus, config, np.random.default_rng(0))
    rate = corpus.counts.toarray().sum(axis=0) / corpus.totals.sum()
    np.testing.assert_allclose(model.gene_bias.detach().exp(), rate, rtol=1e-4)
    values = np.log1p(corpus.counts.toarray() / corpus.totals[:, None] * 1e4)
    embedding = values / model.scale.numpy() @ model.loadings.detach().numpy()
    np.testing.assert_allclose(embedding.mean(axis=0), model.centre, atol=1e-3)


def test_a_run_lowers_the_loss_and_writes_weights(corpus_dir: Path, finished: Path) -> None:
    history = json.loads((finished / "history.json").read_text())
    assert [row.get("epoch") for row in history] == [1, 2, None]
    assert history[1]["train"] < history[0]["train"]
    assert history[1]["held_out"] < history[0]["held_out"]
    assert {"active_codes", "dead_share", "perplexity", "batch_entropy"} <= set(history[2])
    loaded = load_model(finished)
    corpus = read_corpus(corpus_dir)
    assert loaded.genes == corpus.genes
    rng = np.random.default_rng(RUN.seed)
    torch.manual_seed(RUN.seed)
    start = initial_model(corpus, loaded.model.config, rng)
    held = rng.permutation(len(corpus.totals))[: int(0.1 * len(corpus.totals))]
    assert history[1]["held_out"] < validate(start, corpus, held, RUN.hidden_genes)


class _Stop(logging.Handler):
    """Ends the run in the second epoch, before its checkpoint."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith("epoch 2"):
            raise KeyboardInterrupt


def test_a_stopped_run_goes_on_to_the_same_weights(
    corpus_dir: Path, finished: Path, tmp_path: Path
) -> None:
    log = logging.getLogger("scypher.encoders.cellvq.pretrain")
    stop, level = _Stop(), log.level
    log.addHandler(stop)
    log.setLevel(logging.INFO)
    try:
        with pytest.raises(KeyboardInterrupt):
            pretrain(corpus_dir, tmp_path, RUN)
    finally:
        log.removeHandler(stop)
        log.setLevel(level)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["epoch"] == 1
    pretrain(corpus_dir, tmp_path, RUN)
    assert load_model(tmp_path).weights_hash == load_model(finished).weights_hash
    rows, wanted = (
        json.loads((folder / "history.json").read_text()) for folder in (tmp_path, finished)
    )
    for row in (*rows, *wanted):
        row.pop("seconds", None)
    assert rows == wanted


def test_hidden_genes_are_asked_for_and_not_shown() -> None:
    rng = np.random.default_rng(0)
    counts = sparse.csr_matrix(rng.poisson(3, (12, 50)).astype(np.float32))
    totals = np.asarray(counts.sum(axis=1)).ravel() * 2
    before = counts.copy()
    tokens, target = make_batch(counts, totals, hidden_genes=0.4, max_tokens=15, rng=rng)
    assert (counts != before).nnz == 0
    assert len(target.genes) == len(set(target.genes.tolist())) == 20
    assert not set(tokens.gene[tokens.present].tolist()) & set(target.genes.tolist())
    assert tokens.length.max() <= 15
    np.testing.assert_array_equal(target.counts, counts.toarray()[:, target.genes.numpy()])
    np.testing.assert_allclose(target.totals[:, 0], totals)
    np.testing.assert_allclose(tokens.depth[:, 1], np.log10(totals), rtol=1e-5)
    assert (tokens.depth[:, 0] <= tokens.depth[:, 1] + 1e-6).all()


def test_deep_cells_are_brought_to_a_common_depth() -> None:
    rng = np.random.default_rng(0)
    counts = sparse.csr_matrix(rng.poisson(2000, (40, 50)).astype(np.float32))
    totals = np.asarray(counts.sum(axis=1)).ravel()
    _, target = make_batch(counts, totals, hidden_genes=0.4, max_tokens=50, rng=rng)
    assert target.totals.max() <= DEEPEST
    assert target.totals.min() >= DEEPEST / 4 * (1 - 1e-6)
    expected = target.totals.sum() * 0.4
    assert target.counts.sum().item() == pytest.approx(expected.item(), rel=0.05)


def test_cells_are_drawn_by_the_square_root_of_the_size_of_their_set() -> None:
    dataset = np.repeat([0, 1], [900, 100])
    drawn = sample_cells(dataset, 40_000, np.random.default_rng(0))
    assert dataset[drawn].mean() == pytest.approx(10 / (30 + 10), abs=0.01)


def test_batch_entropy_agrees_with_a_loop() -> None:
    rng = np.random.default_rng(0)
    code, batch = rng.choice([0, 2, 5], 200), rng.integers(0, 4, 200)

    def entropy(values: np.ndarray) -> float:
        share = np.bincount(values) / len(values)
        return float(-sum(p * np.log(p) for p in share if p > 0))

    expected = np.mean([entropy(batch[code == own]) for own in code]) / entropy(batch)
    assert batch_entropy(code, batch) == pytest.approx(expected)
    assert batch_entropy(batch, batch) == pytest.approx(0)
    assert batch_entropy(np.zeros(200, int), batch) == pytest.approx(1)
