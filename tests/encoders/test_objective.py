"""What CellVQ is trained on: reconstruction, batch terms, property heads, codebook."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from scipy import sparse
from torch.nn import functional

from scypher.encoders.cellvq import objective as module
from scypher.encoders.cellvq.corruption import Target, whole_target
from scypher.encoders.cellvq.model import CellVQ
from scypher.encoders.cellvq.objective import (
    ANCHOR_WEIGHT,
    GENE_RATE,
    NO_BATCH,
    PROPERTY_WEIGHT,
    CellVQObjective,
    code_figures,
    make_objective,
    reconstruction,
)
from scypher.encoders.cellvq.weights import load_model
from scypher.encoders.cellvq.zinb import zinb_nll
from scypher.encoders.checkpoint import tensors_hash
from scypher.encoders.codes import assign_codes, perplexity
from scypher.encoders.errors import InputError
from scypher.encoders.training.objective import Block
from scypher.encoders.training.source import Source
from scypher.encoders.vocabulary import gene_table

SETTINGS = {"preset": "tiny", "n_bits": 4, "seed": 3}


def silent(what: str, done: int, total: int) -> None:
    """Say nothing."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """One file with two batches of three groups of cells; a fifth have no label."""
    rng = np.random.default_rng(0)
    table = gene_table().query("gene_class == 'protein_coding'").head(80)
    group = rng.integers(0, 3, 400)
    rate = np.full((400, 80), 0.4)
    for number in range(3):
        rate[np.ix_(group == number, np.arange(number * 20, number * 20 + 20))] = 4
    obs = pd.DataFrame(
        {"batch": np.arange(400) % 2, "type": np.array(["A", "B", "C"])[group]},
        index=[f"cell{cell}" for cell in range(400)],
    )
    obs.loc[obs.index[::5], "type"] = "unknown"
    path = tmp_path_factory.mktemp("objective") / "toy.h5ad"
    AnnData(
        sparse.csr_matrix(rng.poisson(rate).astype(np.float32)),
        obs=obs.astype(str),
        var=pd.DataFrame(index=table["ensembl_id"].to_numpy()),
    ).write_h5ad(path)
    return Source([path], properties=["type"], held_out=0, min_cells=5)


@pytest.fixture
def objective(source: Source) -> CellVQObjective:
    return make_objective(SETTINGS, source)


@pytest.fixture
def block(source: Source) -> Block:
    return source.blocks(64, epoch=0, stream=0, streams=1, seed=0)[0]


def test_zeros_weigh_as_much_as_what_is_expressed(trained: CellVQ) -> None:
    rng = np.random.default_rng(0)
    counts = sparse.csr_matrix(rng.poisson(0.4, (6, 60)).astype(np.float32))
    target = whole_target(counts, np.full(6, 30.0), np.ones(60, bool), rng)
    cell = torch.randn(6, 16, generator=torch.Generator().manual_seed(0))
    nll = zinb_nll(target.asked, *trained.decode(cell, target.indptr, target.gene, target.totals))
    expected = []
    for start, stop in zip(target.indptr[:-1], target.indptr[1:], strict=True):
        own, asked = nll[start:stop], target.asked[start:stop]
        expected.append(0.5 * (own[asked > 0].mean() + own[asked == 0].mean()).item())
    assert reconstruction(trained, cell, target).item() == pytest.approx(
        np.mean(expected), rel=1e-4
    )


def test_a_cell_with_nothing_asked_costs_nothing(trained: CellVQ) -> None:
    empty = torch.zeros(0)
    target = Target(torch.zeros(4, dtype=torch.long), empty.long(), empty, empty, empty)
    assert reconstruction(trained, torch.zeros(3, 16), target).item() == 0


def test_the_start_is_the_corpus(objective: CellVQObjective, source: Source) -> None:
    model = objective.model
    blocks = list(source.all_blocks())
    counts = np.concatenate([block.counts.toarray() for block in blocks])
    totals = np.concatenate([block.totals for block in blocks])
    rate = (counts / totals[:, None]).mean(axis=0)
    np.testing.assert_allclose(model.gene_bias.detach().exp(), rate, rtol=1e-4)
    np.testing.assert_allclose(model.profile, rate, rtol=1e-4)
    embedding = np.log1p(counts / totals[:, None] * 1e4) / model.scale.numpy()
    embedding = embedding @ model.loadings.detach().numpy() - model.centre.numpy()
    np.testing.assert_allclose(embedding.mean(axis=0), 0, atol=1e-3)
    assert np.mean(embedding**2) == pytest.approx(1, rel=1e-3)


def test_the_same_seed_gives_the_same_start_whatever_the_global_state(source: Source) -> None:
    hashes = []
    for seed, state in ((3, 0), (3, 1), (4, 1)):
        torch.manual_seed(state)
        hashes.append(tensors_hash(make_objective({**SETTINGS, "seed": seed}, source).state_dict()))
    assert hashes[0] == hashes[1] != hashes[2]


def test_settings_of_the_corruption_are_taken(source: Source) -> None:
    made = make_objective({**SETTINGS, "hidden": 0.5, "panels": 0.0}, source)
    assert made._how.hidden == 0.5
    assert made._how.panels == 0
    with pytest.raises(InputError, match=r"unknown model settings \['hide'\]"):
        make_objective({**SETTINGS, "hide": 0.5}, source)


def test_a_block_is_prepared_with_its_generator_only(
    objective: CellVQObjective, block: Block
) -> None:
    first, again, other = (objective.prepare(block, np.random.default_rng(s)) for s in (1, 1, 2))
    for one, two in zip(
        (*first.tokens, *first.target), (*again.tokens, *again.target), strict=True
    ):
        assert torch.equal(one, two)
    assert torch.equal(first.batch, again.batch)
    assert not torch.equal(first.target.gene[:50], other.target.gene[:50])


def test_a_share_of_the_cells_goes_without_its_batch(
    objective: CellVQObjective, block: Block
) -> None:
    batches = np.stack(
        [objective.prepare(block, np.random.default_rng(s)).batch.numpy() for s in range(80)]
    )
    assert (batches == 0).mean() == pytest.approx(NO_BATCH, abs=0.02)
    kept = np.where(batches == 0, block.batch + 1, batches)
    np.testing.assert_array_equal(kept, np.broadcast_to(block.batch + 1, kept.shape))


def test_the_loss_is_reconstruction_anchor_and_heads_over_known_labels(
    objective: CellVQObjective, block: Block
) -> None:
    with torch.no_grad():
        objective.batch_term.weight[1:].normal_(generator=torch.Generator().manual_seed(0))
    batch = objective.prepare(block, np.random.default_rng(0))
    labels = batch.labels[:, 0]
    np.testing.assert_array_equal(labels, block.labels["type"])
    assert 0 < (labels == -1).sum() < len(labels)
    with torch.no_grad():
        loss = objective(batch)
        cell = objective.model.read(batch.tokens).cell
        moved = cell + objective.batch_term.weight[batch.batch]
        expected = reconstruction(objective.model, moved, batch.target)
        logits = objective.model.heads[0](cell)
        known = labels >= 0
        each = functional.cross_entropy(logits[known], labels[known], reduction="sum")
    apart = np.abs((cell - batch.whole).numpy())
    anchor = np.where(apart < 1, 0.5 * apart**2, apart - 0.5).mean()
    expected = expected + ANCHOR_WEIGHT * float(anchor) + PROPERTY_WEIGHT * each / len(labels)
    torch.testing.assert_close(loss, expected)


def test_the_anchor_is_the_linear_embedding_of_the_whole_cell(
    objective: CellVQObjective, block: Block
) -> None:
    model = objective.model
    values = np.log1p(block.counts.toarray() / block.totals[:, None] * 1e4) / model.scale.numpy()
    expected = values @ model.loadings.detach().numpy() - model.centre.numpy()
    with torch.no_grad():
        # What training does to the loadings afterwards does not move the anchor.
        model.loadings.mul_(2)
    whole = objective.prepare(block, np.random.default_rng(0)).whole
    np.testing.assert_allclose(whole, expected, rtol=1e-3, atol=1e-3)


def test_a_block_without_a_label_has_a_finite_loss_and_gradient(
    objective: CellVQObjective, block: Block
) -> None:
    blank = block._replace(labels={"type": np.full(64, -1)})
    loss = objective(objective.prepare(blank, np.random.default_rng(0)))
    loss.backward()
    head = objective.model.heads[0]
    assert torch.isfinite(loss)
    assert all(bool((p.grad == 0).all()) for p in head.parameters() if p.grad is not None)


def test_properties_of_any_name_get_a_head(source: Source) -> None:
    assert list(make_objective(SETTINGS, source).model.config.properties) == ["type"]
    assert make_objective(SETTINGS, source).model.config.properties["type"] == ["A", "B", "C"]


def test_everything_but_codebook_and_own_components_gets_a_gradient(
    objective: CellVQObjective, block: Block
) -> None:
    with torch.no_grad():
        for value in objective.model.reader.parameters():
            value.add_(0.1 * torch.randn(value.shape, generator=torch.Generator().manual_seed(0)))
    objective(objective.prepare(block, np.random.default_rng(0))).backward()
    for name, value in objective.named_parameters():
        frozen = name.startswith(("model.discretise.", "model.own_"))
        assert value.requires_grad is not frozen, name
        assert (value.grad is None) is frozen, name


def test_loadings_learn_slower_and_no_parameter_is_forgotten(objective: CellVQObjective) -> None:
    groups = objective.groups(1e-2)
    assert [group["lr"] for group in groups] == [1e-2 * GENE_RATE, 1e-2]
    assert groups[0]["params"][0] is objective.model.loadings
    found = [id(p) for group in groups for p in group["params"]]
    assert sorted(found) == sorted(id(p) for p in objective.parameters() if p.requires_grad)


def test_training_lowers_the_loss(objective: CellVQObjective, source: Source) -> None:
    stream = source.blocks(64, epoch=0, stream=0, streams=1, seed=0)
    optimiser = torch.optim.AdamW(objective.groups(3e-3), weight_decay=0.0)
    losses = []
    for step in range(len(stream)):
        loss = objective(objective.prepare(stream[step], np.random.default_rng(step)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.05


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = module.CodesConfig
    monkeypatch.setattr(module, "CodesConfig", lambda **given: whole(**{**given, "steps": 200}))


@pytest.mark.usefixtures("short")
def test_the_codebook_learns_last_and_the_body_stays(
    objective: CellVQObjective, source: Source, tmp_path: Path
) -> None:
    before = {name: value.clone() for name, value in objective.model.state_dict().items()}
    said: list[tuple[str, int, int]] = []
    figures = objective.finish(source, 0, lambda *step: said.append(step))
    for name, value in objective.model.state_dict().items():
        assert torch.equal(value, before[name]) is not name.startswith("discretise."), name
    assert figures["codes"] == 16
    assert 1 <= figures["active_codes"] <= 16
    assert figures["perplexity"] <= figures["active_codes"]
    assert figures["dead_share"] == pytest.approx(1 - figures["active_codes"] / 16, abs=1e-3)
    assert figures["cells"] == 400
    assert 0.9 < figures["batch_entropy"] <= 1
    assert said[-1] == ("training the codebook", 200, 200)
    objective.save(tmp_path, history=[figures])
    loaded = load_model(tmp_path)
    assert loaded.genes == source.genes
    assert loaded.trained_on == ["toy"]
    other = make_objective(SETTINGS, source)
    assert other.finish(source, 0, silent) == figures


def test_figures_of_codes_agree_with_loops(objective: CellVQObjective, source: Source) -> None:
    model = objective.model.eval()
    block = source.read(np.arange(3))
    rng = np.random.default_rng(0)
    cells = rng.normal(size=(len(block.totals), 32 + 20)).astype(np.float32)
    figures = code_figures(model, cells, block)
    code = assign_codes(model.discretise, cells).code

    def entropy(values: np.ndarray) -> float:
        share = np.bincount(values) / len(values)
        return float(-sum(p * np.log(p) for p in share if p > 0))

    within = np.mean([entropy(block.batch[code == own]) for own in code])
    assert figures["batch_entropy"] == pytest.approx(within / entropy(block.batch), abs=1e-3)
    assert figures["active_codes"] == len(set(code))
    assert figures["perplexity"] == pytest.approx(perplexity(code), abs=0.06)
    # Cells of a single batch have no entropy to compare with.
    alone = code_figures(model, cells, block._replace(batch=np.zeros(len(code), int)))
    assert alone["batch_entropy"] is None


def test_fewer_genes_than_components_are_told(source: Source) -> None:
    with pytest.raises(InputError, match="width asks for 128 components of 80 genes"):
        make_objective({"preset": "mini"}, source)
