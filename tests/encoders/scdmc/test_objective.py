"""Training of scDMC: what is hidden, what is lost, what moves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pytest
import torch
from anndata import AnnData
from safetensors.torch import load_file
from scipy import sparse

from scypher.encoders.cells import prepare
from scypher.encoders.registry import get_encoder
from scypher.encoders.scdmc import hidden
from scypher.encoders.scdmc.config import CLS, EOS, PAD
from scypher.encoders.scdmc.contrast import info_nce
from scypher.encoders.scdmc.encoder import ScDMCEncoder
from scypher.encoders.scdmc.objective import ScDMCBatch, ScDMCObjective
from scypher.encoders.training.objective import Block
from scypher.encoders.training.source import take

Data = Callable[..., AnnData]

SMALL = {"width": 16, "n_layers": 2, "n_heads": 4, "hidden": 24, "queue": 50}


class Toy(NamedTuple):
    """As much of a source as an objective asks for."""

    genes: list[str]
    block: Block

    def sample(self, n: int, rng: np.random.Generator) -> Block:
        """Return all cells."""
        return self.block


def block_of(adata: AnnData) -> Block:
    counts = sparse.csr_matrix(adata.X)
    n = counts.shape[0]
    totals = np.asarray(counts.sum(axis=1), np.float64).ravel()
    return Block(counts, totals, np.zeros(n, np.int64), np.zeros(n, np.int64))


def objective_of(adata: AnnData, **settings: Any) -> ScDMCObjective:
    source = Toy([str(name) for name in adata.var_names], block_of(adata))
    return ScDMCObjective({**SMALL, **settings}, cast(Any, source))


def trained(objective: ScDMCObjective, block: Block, *, steps: int) -> list[float]:
    optimiser = torch.optim.AdamW(objective.groups(3e-3))
    rng, losses = np.random.default_rng(0), []
    objective.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for _ in range(steps):
            rows = rng.choice(len(block.totals), 32, replace=False)
            part = take(block, rows)
            loss = objective(objective.prepare(part, rng))
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            objective.after_step()
            losses.append(float(loss.detach()))
    return losses


def test_medians_come_from_the_sample(make_data: Data) -> None:
    adata = make_data()
    counts = adata.X.toarray()
    x = counts / counts.sum(axis=1, keepdims=True) * 1e4
    wanted = [np.median(column[column > 0]) for column in x.T]
    np.testing.assert_allclose(objective_of(adata).vocabulary.medians, wanted, rtol=1e-5)


def test_a_share_of_the_genes_is_hidden_and_nothing_else(
    make_data: Data, rng: np.random.Generator
) -> None:
    objective = objective_of(make_data(300), mask_share=0.3)
    batch = objective.prepare(block_of(make_data(300)), rng)
    for ids, hides in ((batch.rank, batch.rank_hidden), (batch.epe, batch.epe_hidden)):
        assert not (hides & ((ids == CLS) | (ids == EOS) | (ids == PAD))).any()
        n_genes = int((ids >= 4).sum())
        deviation = np.sqrt(0.3 * 0.7 / n_genes)
        assert abs(int(hides.sum()) / n_genes - 0.3) < 5 * deviation
    assert (batch.rank_hidden != batch.epe_hidden).any()
    assert (batch.rank.sort().values == batch.epe.sort().values).all()


def test_preparing_is_reproducible(make_data: Data) -> None:
    objective, block = objective_of(make_data()), block_of(make_data())
    first, again = (objective.prepare(block, np.random.default_rng(4)) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("mode", ["weight", "input"])
def test_the_loss_is_that_of_a_loop(
    make_data: Data, rng: np.random.Generator, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hidden, "SCORES_AT_ONCE", 5 * 204)
    adata = make_data(60)
    objective = objective_of(adata, epe_mode=mode, alpha=0.5).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in objective.parameters():
            value.add_(0.2 * torch.randn(value.shape, generator=generator))
    past = torch.nn.functional.normalize(torch.randn(9, 16, generator=generator), dim=1)
    objective.past_epe.push(past)
    block = block_of(adata[:12])
    batch = objective.prepare(block, rng)
    with torch.no_grad():
        loss = float(objective(batch))
        free = mode == "input"
        totals, seen = {"rank": 0.0, "epe": 0.0}, {"rank": 0, "epe": 0}
        cls: dict[str, list[torch.Tensor]] = {"rank": [], "epe": [], "old_rank": [], "old_epe": []}
        table = objective.body.embeddings.word_embeddings.weight
        for cell in range(12):
            for name in ("rank", "epe"):
                ids = cast(torch.Tensor, getattr(batch, name))[cell]
                ids = ids[ids != PAD]
                hides = getattr(batch, f"{name}_hidden")[cell, : len(ids)]
                masked = torch.where(hides, 1, ids)[None]
                given = batch.value[cell, : len(ids)][None] if free and name == "epe" else None
                ordered = given is None
                out = objective.body(masked, given, ordered=ordered)[0]
                cls[name].append(out[0])
                cls[f"old_{name}"].append(
                    objective.momentum(ids[None], given, ordered=ordered)[0, 0]
                )
                log_p = (objective.head(out, table)).log_softmax(dim=-1)
                for place in hides.nonzero()[:, 0].tolist():
                    weight = 1.0
                    if mode == "weight" and name == "epe":
                        gene = int(ids[place]) - 4
                        x = block.counts[cell, gene] / block.totals[cell] * 1e4
                        weight = float(np.log1p(x / objective.vocabulary.medians[gene]))
                    totals[name] -= weight * float(log_p[place, ids[place]])
                    seen[name] += 1
        rows = {name: torch.stack(values) for name, values in cls.items()}
        contrast = info_nce(rows["rank"], rows["old_epe"], past, tau=0.07)
        contrast = contrast + info_nce(rows["epe"], rows["old_rank"], past[:0], tau=0.07)
    wanted = totals["rank"] / seen["rank"] + totals["epe"] / seen["epe"] + 0.25 * float(contrast)
    assert loss == pytest.approx(wanted, rel=1e-4)


def test_pieces_have_the_gradient_of_the_whole(
    make_data: Data, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective = objective_of(make_data(), dropout=0.0)
    batch = objective.prepare(block_of(make_data()[:8]), rng)
    found = []
    for scores in (hidden.SCORES_AT_ONCE, 7 * 204):
        monkeypatch.setattr(hidden, "SCORES_AT_ONCE", scores)
        wanted = [*objective.body.parameters(), *objective.head.parameters()]
        found.append(torch.autograd.grad(objective(batch), wanted))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_nothing_hidden_is_no_loss(make_data: Data, rng: np.random.Generator) -> None:
    objective = objective_of(make_data())
    batch = objective.prepare(block_of(make_data()[:4]), rng)
    none = torch.zeros_like(batch.rank_hidden)
    parts = objective.losses(batch._replace(rank_hidden=none, epe_hidden=none))
    assert float(parts.rank) == float(parts.epe) == 0
    assert torch.isfinite(parts.contrast)


def test_the_momentum_copy_moves_by_its_share(make_data: Data, rng: np.random.Generator) -> None:
    objective = objective_of(make_data())
    before = {name: v.clone() for name, v in objective.momentum.named_parameters()}
    assert all(torch.equal(v, before[n]) for n, v in objective.body.named_parameters())
    with torch.no_grad():
        for value in objective.body.parameters():
            value.add_(torch.from_numpy(rng.normal(size=value.shape)).float())
    objective.after_step()
    after = dict(objective.momentum.named_parameters())
    for name, fast in objective.body.named_parameters():
        torch.testing.assert_close(after[name], 0.995 * before[name] + 0.005 * fast)
    assert not any(value.requires_grad for value in after.values())


def test_the_copy_is_not_trained_and_never_drops(make_data: Data, rng: np.random.Generator) -> None:
    objective = objective_of(make_data(), dropout=0.5).train()
    assert objective.body.training
    assert not objective.momentum.training
    trained_ids = {id(p) for group in objective.groups(1e-3) for p in group["params"]}
    assert not trained_ids & {id(p) for p in objective.momentum.parameters()}
    batch = objective.prepare(block_of(make_data()[:6]), rng)
    torch.autograd.backward(objective(batch))
    assert all(p.grad is None for p in objective.momentum.parameters())
    for name, value in objective.named_parameters():
        assert value.grad is not None or name.startswith("momentum."), name


def test_past_keys_are_those_of_training_steps_only(
    make_data: Data, rng: np.random.Generator
) -> None:
    objective = objective_of(make_data())
    batch = objective.prepare(block_of(make_data()[:30]), rng)
    objective.eval()(batch)
    objective.after_step()
    assert len(objective.past_epe()) == 0
    key = objective.momentum(batch.rank)[:, 0]
    objective.train()
    for n in (30, 50, 50):
        objective(batch)
        objective.after_step()
        assert len(objective.past_rank()) == len(objective.past_epe()) == n
    assert "past_rank.keys" in objective.state_dict()
    unit = torch.nn.functional.normalize(key, dim=1)
    # The copy has not moved, since the network has not.
    assert all((objective.past_rank() - row).abs().amax(dim=1).min() < 1e-5 for row in unit)


def test_keys_are_shared_among_processes(
    make_data: Data, rng: np.random.Generator, tmp_path: Path
) -> None:
    objective = objective_of(make_data()).train()
    batch = objective.prepare(block_of(make_data()[:5]), rng)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'meet'}", rank=0, world_size=1
    )
    try:
        objective(batch)
        objective.after_step()
    finally:
        torch.distributed.destroy_process_group()
    assert len(objective.past_epe()) == 5


@pytest.mark.parametrize("mode", ["weight", "input"])
def test_training_finds_the_planted_groups(make_data: Data, tmp_path: Path, mode: str) -> None:
    adata, fresh = make_data(240), make_data(90, seed=1)
    objective = objective_of(adata, epe_mode=mode, width=32, hidden=64)
    batch = objective.prepare(block_of(fresh), np.random.default_rng(5))
    with torch.no_grad():
        before = objective.eval().losses(batch)
    trained(objective, block_of(adata), steps=60)
    with torch.no_grad():
        after = objective.eval().losses(batch)
    # Guessing among 200 genes costs log(200) = 5.3 nats, among 90 cells 4.5.
    assert float(after.rank) < min(5.2, float(before.rank) - 0.3)
    assert float(after.epe) < float(before.epe) - 0.2
    assert float(after.contrast) < float(before.contrast) - 0.3
    objective.save(tmp_path, history=[])
    cells = prepare(fresh)
    features = ScDMCEncoder(tmp_path).embed(cells, 0, lambda what, done, total: None)
    unit = features.embedding - features.embedding.mean(axis=0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -2)
    group = fresh.obs["group"].to_numpy()
    # A third by chance.
    assert (group[cosine.argmax(axis=1)] == group).mean() > 0.9


@pytest.mark.parametrize("width", [16, 64])
def test_cells_are_not_all_alike_at_the_start(
    make_data: Data, rng: np.random.Generator, width: int
) -> None:
    objective = objective_of(make_data(), width=width).eval()
    batch = objective.prepare(block_of(make_data()), rng)
    with torch.no_grad():
        cell = objective.body(batch.rank)[:, 0]
    assert float((cell - cell.mean(dim=0)).std()) > 0.03


def test_the_same_seed_gives_the_same_run(make_data: Data) -> None:
    adata = make_data()
    runs = [trained(objective_of(adata), block_of(adata), steps=3) for _ in range(2)]
    assert runs[0] == runs[1]


def test_making_an_objective_leaves_global_randomness_alone(make_data: Data) -> None:
    before = torch.random.get_rng_state()
    objective_of(make_data())
    assert torch.equal(before, torch.random.get_rng_state())


def test_what_is_saved_is_what_the_registry_reads(make_data: Data, tmp_path: Path) -> None:
    adata = make_data()
    objective = objective_of(adata)
    objective.save(tmp_path, history=[])
    encoder = get_encoder(str(tmp_path))
    assert isinstance(encoder, ScDMCEncoder)
    loaded = encoder._pretrained
    assert loaded.vocabulary.genes == adata.var_names.tolist()
    np.testing.assert_array_equal(loaded.vocabulary.medians, objective.vocabulary.medians)
    for name, value in objective.body.state_dict().items():
        assert torch.equal(loaded.body.state_dict()[name], value)
    assert not any("momentum" in name for name in load_file(tmp_path / "model.safetensors"))


def test_the_card_trains(make_data: Data) -> None:
    from scypher.encoders.catalogue.scdmc import CARD

    adata = make_data()
    assert CARD.pretrain is not None
    source = Toy(adata.var_names.tolist(), block_of(adata))
    objective = CARD.pretrain({"preset": "small", "n_layers": 1}, cast(Any, source))
    assert isinstance(objective, ScDMCObjective)
    assert (objective.config.width, objective.config.n_layers) == (256, 1)
    assert objective.encoder == CARD.name


def test_a_batch_is_a_named_tuple_of_tensors(make_data: Data, rng: np.random.Generator) -> None:
    batch = objective_of(make_data()).prepare(block_of(make_data()[:3]), rng)
    assert isinstance(batch, ScDMCBatch)
    moved = type(batch)(*(item.to("cpu") for item in batch))
    assert moved.rank.dtype == torch.int64
    assert moved.rank_hidden.dtype == torch.bool
