"""What training hides and asks for, its loss, and that it learns."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

from scypher.encoders.catalogue.cellpatch import CARD
from scypher.encoders.cellpatch.encoder import CellPatchEncoder
from scypher.encoders.cellpatch.objective import Batch, CellPatchObjective
from scypher.encoders.cellpatch.sampling import sample_zeros, split
from scypher.encoders.cellpatch.tokens import pad
from scypher.encoders.cells import Cells
from scypher.encoders.errors import InputError
from scypher.encoders.training.objective import Block

SMALL = {"n_patches": 6, "width": 8, "hidden": 12, "bottleneck": 4, "dropout": 0.0}


def block(counts: sparse.csr_matrix) -> Block:
    n = counts.shape[0]
    totals = np.asarray(counts.sum(axis=1)).ravel()
    return Block(counts, totals, np.zeros(n, np.int64), np.zeros(n, np.int64))


@pytest.fixture
def counts() -> sparse.csr_matrix:
    """Cells with no, one, two, many and all of 50 genes."""
    rng = np.random.default_rng(0)
    dense = rng.poisson(2.0, (9, 50)) * (rng.random((9, 50)) < 0.5)
    dense[0], dense[1], dense[2] = 0, 0, 0
    dense[1, 7] = 3
    dense[2, [4, 40]] = 1
    dense[3] = 1
    dense[4, :48], dense[4, 48:] = 1, 0
    return sparse.csr_matrix(dense.astype(np.float32))


def test_genes_are_hidden_as_said(counts: sparse.csr_matrix) -> None:
    chosen = split(counts, np.random.default_rng(1), max_tokens=10, max_targets=1000)
    for cell in range(9):
        expressed = set(counts[cell].indices)
        read = set(chosen.read_gene[chosen.read_row == cell])
        at = chosen.asked_row == cell
        asked, value = chosen.asked_gene[at], chosen.asked_value[at]
        assert len(set(asked)) == len(asked)
        hidden, zeros = set(asked[value > 0]), set(asked[value == 0])
        n = len(expressed)
        n_hidden = max(round(0.3 * n), 1) if n > 1 else 0
        assert len(hidden) == n_hidden
        assert len(zeros) == min(int(np.ceil(0.5 * n_hidden)), 50 - n)
        assert len(read) == min(n - n_hidden, 10)
        assert hidden | read <= expressed
        assert not hidden & read
        assert not zeros & expressed
    dense = counts.toarray()
    np.testing.assert_array_equal(chosen.asked_value, dense[chosen.asked_row, chosen.asked_gene])
    np.testing.assert_array_equal(chosen.read_value, dense[chosen.read_row, chosen.read_gene])


def test_every_gene_has_the_same_chance_to_be_read_hidden_or_kept_under_a_cap() -> None:
    row = np.zeros(40, np.float32)
    row[5:25] = 1
    values = sparse.csr_matrix(np.tile(row, (3000, 1)))
    chosen = split(values, np.random.default_rng(2), max_tokens=7, max_targets=4)
    read = np.bincount(chosen.read_gene, minlength=40) / 3000
    np.testing.assert_allclose(read[5:25], 7 / 20, atol=0.05)
    assert read[:5].sum() + read[25:].sum() == 0
    assert (np.bincount(chosen.asked_row) == 4).all()
    asked = np.bincount(chosen.asked_gene, minlength=40) / 3000
    # Six hidden and three zeros compete for four places.
    np.testing.assert_allclose(asked[5:25], 6 / 20 * 4 / 9, atol=0.03)
    np.testing.assert_allclose(asked[np.r_[:5, 25:40]], 3 / 20 * 4 / 9, atol=0.03)


def test_all_absent_genes_can_be_asked_for(counts: sparse.csr_matrix) -> None:
    row, gene = sample_zeros(counts, np.full(9, 99), np.random.default_rng(3))
    found = sparse.csr_matrix((np.ones(len(row)), (row, gene)), shape=(9, 50)).toarray()
    np.testing.assert_array_equal(found, counts.toarray() == 0)


def test_blocks_become_tensors_reproducibly(counts: sparse.csr_matrix) -> None:
    objective = CellPatchObjective({**SMALL, "clip": 6.0}, [f"G{i}" for i in range(50)])
    one, two, other = (
        objective.prepare(block(counts), np.random.default_rng(seed)) for seed in (5, 5, 6)
    )
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert any(a.shape != b.shape or not torch.equal(a, b) for a, b in zip(one, other, strict=True))
    dense = counts.toarray()
    totals = np.maximum(dense.sum(axis=1, keepdims=True), 1)
    wanted = np.log1p(dense / totals * 1e4)
    for cell in range(9):
        there, asked = one.present[cell], one.asked[cell]
        gene, target = one.gene[cell, there] - 1, one.asked_gene[cell, asked] - 1
        read = np.minimum(wanted[cell, gene], 6.0)
        np.testing.assert_allclose(one.value[cell, there], read, rtol=1e-5)
        np.testing.assert_allclose(one.asked_value[cell, asked], wanted[cell, target], rtol=1e-5)
    assert (one.gene[~one.present] == 0).all()


def test_the_loss_is_the_mean_square_of_a_cell(counts: sparse.csr_matrix) -> None:
    torch.manual_seed(0)
    objective = CellPatchObjective(SMALL, [f"G{i}" for i in range(50)]).eval()
    batch = objective.prepare(block(counts), np.random.default_rng(5))
    losses = []
    with torch.no_grad():
        for cell in range(2, 9):
            there, asked = batch.present[cell], batch.asked[cell]
            patches = objective.model(
                batch.gene[cell : cell + 1, there],
                batch.value[cell : cell + 1, there],
                torch.ones(1, int(there.sum())) > 0,
            )
            prompt = objective.model.gene(batch.asked_gene[cell : cell + 1, asked])
            guess = objective.decoder(patches, prompt, torch.ones(1, int(asked.sum())) > 0)[0]
            losses.append(((guess - batch.asked_value[cell, asked]) ** 2).mean())
        # The first two cells have nothing to hide, and do not count.
        torch.testing.assert_close(objective(batch), torch.stack(losses).mean())


def test_a_block_with_nothing_to_hide_has_no_loss() -> None:
    objective = CellPatchObjective(SMALL, ["G0", "G1"])
    batch = objective.prepare(
        block(sparse.csr_matrix(np.eye(2, dtype=np.float32))), np.random.default_rng(0)
    )
    loss = objective(batch)
    loss.backward()
    assert loss.item() == 0
    gradients = [value.grad for value in objective.parameters() if value.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_it_learns_which_genes_are_abundant() -> None:
    rng = np.random.default_rng(0)
    rate = np.where(np.arange(15) < 5, 8.0, 0.02)
    counts = sparse.csr_matrix(rng.poisson(rate, (90, 15)).astype(np.float32))
    torch.manual_seed(0)
    source: Any = SimpleNamespace(genes=[f"G{number}" for number in range(15)])
    assert CARD.pretrain is not None
    objective = CARD.pretrain(SMALL, source)
    optimiser = torch.optim.Adam(objective.groups(1e-2))
    for _ in range(100):
        loss = objective(objective.prepare(block(counts), rng))
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        objective.after_step()
    objective.eval()
    with torch.no_grad():
        batch = Batch(*objective.prepare(block(counts), rng))
        assert objective(batch).item() < 0.6 * spread(batch)


def test_what_is_saved_encodes_as_what_was_trained(
    make_cells: Callable[..., Cells], tmp_path: Path
) -> None:
    cells = make_cells()
    torch.manual_seed(0)
    objective = CellPatchObjective(SMALL, list(cells.genes["ensembl_id"])[::-1]).eval()
    objective.save(tmp_path, history=[{"loss": 1.0}])
    features = CellPatchEncoder(tmp_path).embed(cells, 0, lambda what, done, total: None)
    dense = cells.counts[:10].toarray()
    values = np.log1p(dense / dense.sum(axis=1, keepdims=True) * 1e4).astype(np.float32)
    row, gene = np.nonzero(values)
    with torch.no_grad():
        patches = objective.model(*pad(row, 200 - gene, values[row, gene], 10))
    np.testing.assert_allclose(features.embedding[:10], patches.flatten(1), atol=1e-5)


def spread(batch: Batch) -> float:
    """Return the mean square around the mean, the best that knows nothing of cell and gene."""
    values = [row[there] for row, there in zip(batch.asked_value, batch.asked, strict=True)]
    mean = torch.cat(values).mean()
    return float(torch.stack([((value - mean) ** 2).mean() for value in values]).mean())


@pytest.mark.parametrize(
    ("settings", "genes", "said"),
    [
        ({}, [], "was given no genes"),
        ({"patches": 3}, ["A"], r"\[model\]: CellPatch has no setting 'patches'"),
    ],
)
def test_wrong_settings_are_refused(
    settings: dict[str, Any], genes: Sequence[str], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        CellPatchObjective(settings, genes)
