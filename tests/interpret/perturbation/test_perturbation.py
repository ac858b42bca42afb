"""Removed and raised genes change what the encoder says as a short loop says they do."""

from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from scipy.sparse import csr_matrix

from scypher.encoders.cells import prepare
from scypher.encoders.cellvq.config import CellVQConfig
from scypher.encoders.cellvq.model import CellVQ
from scypher.encoders.errors import InputError
from scypher.encoders.registry import get_encoder
from scypher.encoders.response import Responds, Response
from scypher.interpret.networks.regulons import Regulons
from scypher.interpret.perturbation.changed_counts import (
    Changes,
    high_levels,
    matched_sets,
    rows_of,
)
from scypher.interpret.perturbation.changes import Perturbation, perturb
from scypher.interpret.perturbation.perturbed_genes import perturb_genes
from scypher.interpret.perturbation.perturbed_response import MEASURES
from scypher.interpret.perturbation.state_transitions import transitions
from scypher.interpret.statistics import adjust

N_GENES, N_CODES = 120, 8
STATES = np.arange(N_CODES) // 2


class Linear:
    """An encoder of random sums of shares, with attention by share and a linear decoder."""

    def __init__(self, decodes: bool = True) -> None:
        rng = np.random.default_rng(1)
        self.weight = rng.normal(size=(N_GENES, N_CODES))
        self.back = rng.normal(size=(N_CODES, N_GENES)) if decodes else None

    def respond(self, counts: csr_matrix, totals: Any) -> Response:
        share = counts.toarray() / np.asarray(totals)[:, None]
        embedding = (share @ self.weight).astype(np.float32)
        rest = np.maximum(share.sum(axis=1, keepdims=True), 1e-9)
        attention = csr_matrix((share / rest).astype(np.float32))
        expression = None if self.back is None else (embedding @ self.back).astype(np.float32)
        return Response(embedding.argmax(axis=1), embedding, attention, expression)


@pytest.fixture(scope="module")
def cells() -> tuple[csr_matrix, np.ndarray]:
    rng = np.random.default_rng(0)
    rate = rng.gamma(1.5, 1.0, N_GENES)
    counts = csr_matrix(rng.poisson(rate, (70, N_GENES)).astype(np.float32))
    return counts, np.repeat([0, 1, -1], [30, 30, 10])


def asked(cells: tuple[csr_matrix, np.ndarray], model: Any = None, **given: Any) -> Perturbation:
    counts, groups = cells
    options: dict[str, Any] = {
        "groups": groups,
        "state_of_code": STATES,
        "rng": np.random.default_rng(0),
        "n_null": 9,
        "max_cells": 30,
        **given,
    }
    genes = options.pop("genes", np.array([3]))
    return perturb(model or Linear(), counts, genes, **options)


def said(model: Linear, row: np.ndarray, total: float) -> tuple[np.ndarray, int, Any, Any]:
    found = model.respond(csr_matrix(row[None]), np.array([total]))
    expression = None if found.expression is None else found.expression[0].astype(float)
    attention = found.attention.toarray()[0].astype(float)
    return found.embedding[0].astype(float), int(found.code[0]), attention, expression


def by_loop(dense: np.ndarray, rows: np.ndarray, changed: Any) -> dict[str, Any]:
    model, totals = Linear(), dense.sum(axis=1)
    sums, n_changed, moves = np.zeros(4), 0, []
    attention, expression = np.zeros(N_GENES), np.zeros(N_GENES)
    for cell in rows:
        before, after = dense[cell], changed(dense[cell].copy(), totals[cell])
        e, c, a, x = said(model, before, totals[cell])
        f, d, b, y = said(model, after, totals[cell])
        n_changed += (before != after).any()
        cosine = 1 - e @ f / np.linalg.norm(e) / np.linalg.norm(f)
        sums += [cosine, np.linalg.norm(f - e), c != d, STATES[c] != STATES[d]]
        attention += b - a
        expression += y - x
        moves.append((STATES[c], STATES[d]))
    n = len(rows)
    return {
        "sums": sums / n,
        "n_changed": n_changed,
        "attention": attention / n,
        "expression": expression / n,
        "moves": pd.Series(moves).value_counts(),
    }


def test_removal_is_that_of_a_loop(cells: tuple[csr_matrix, np.ndarray]) -> None:
    counts, groups = cells
    dense = counts.toarray().astype(float)
    found = asked(cells)

    def without(genes: Any) -> Any:
        def change(row: np.ndarray, _: float) -> np.ndarray:
            row[genes] = 0
            return row

        return change

    values = np.log1p(dense * 1e4 / dense.sum(axis=1)[:, None])
    for group in (0, 1):
        rows = np.flatnonzero(groups == group)
        expected = by_loop(dense, rows, without([3]))
        shift = found.shifts.iloc[group]
        assert shift[["group", "n_genes", "n_cells"]].tolist() == [group, 1, 30]
        assert shift["n_changed"] == expected["n_changed"]
        np.testing.assert_allclose(shift[list(MEASURES)].astype(float), expected["sums"], atol=1e-6)
        mean, on = values[rows].mean(axis=0), (dense[rows] > 0).sum(axis=0)
        place = np.stack([np.log(mean + 1e-300), np.log((on + 0.5) / (30.5 - on))], axis=1)
        distance = np.linalg.norm(place - place[3], axis=1)
        distance[(np.arange(N_GENES) == 3) | (on == 0)] = np.inf
        null = [by_loop(dense, rows, without([gene])) for gene in np.argsort(distance)[:9]]
        for number, name in enumerate(MEASURES):
            drawn = np.array([one["sums"][number] for one in null])
            value = expected["sums"][number]
            assert shift[f"{name}_null_mean"] == pytest.approx(drawn.mean(), abs=1e-6)
            assert shift[f"{name}_null_sd"] == pytest.approx(drawn.std(), abs=1e-6)
            assert shift[f"{name}_p"] == pytest.approx((1 + (drawn >= value - 1e-7).sum()) / 10)
        table = found.genes[found.genes["group"] == group].set_index("gene")
        for name in ("attention", "expression"):
            change = table[f"{name}_change"].loc[np.arange(N_GENES)]
            np.testing.assert_allclose(change, expected[name], atol=1e-6)
        assert table["perturbed"].sum() == table["perturbed"].loc[3] == 1
        gene = int(np.argsort(distance)[0])
        drawn = np.array([one["expression"][gene] for one in null[1:]])
        value = expected["expression"][gene]
        # The set that holds the gene itself is no null of it.
        assert table["expression_p"].loc[gene] == pytest.approx(
            (1 + (np.abs(drawn) >= abs(value)).sum()) / 9
        )
        z = (value - drawn.mean()) / drawn.std()
        assert table["expression_z"].loc[gene] == pytest.approx(z, abs=1e-3)
        moves = found.transitions[found.transitions["group"] == group]
        moved = moves[moves["n_cells"] > 0].set_index(["from", "to"])["n_cells"]
        assert moved.to_dict() == expected["moves"].to_dict()
    for name in MEASURES:
        p = found.shifts[f"{name}_p"].to_numpy()
        np.testing.assert_allclose(found.shifts[f"{name}_q"], adjust(p))
    told = found.genes[found.genes["perturbed"] == 0]
    np.testing.assert_allclose(told["expression_q"], adjust(told["expression_p"].to_numpy()))
    assert found.genes.loc[found.genes["perturbed"] == 1, "expression_p"].isna().all()


def test_raised_gene_has_a_high_level_everywhere(cells: tuple[csr_matrix, np.ndarray]) -> None:
    counts, groups = cells
    dense = counts.toarray().astype(float)
    totals = dense.sum(axis=1)
    rare = int((dense > 0).sum(axis=0).argmin())
    share = dense[:, rare] / totals
    level = np.quantile(share[share > 0], 0.9)

    def change(row: np.ndarray, total: float) -> np.ndarray:
        row[rare] = max(row[rare], max(np.rint(level * total), 1))
        row[3] = 0
        return row

    found = asked(cells, raised=np.array([rare]))
    for group in (0, 1):
        expected = by_loop(dense, np.flatnonzero(groups == group), change)
        shift = found.shifts.iloc[group]
        assert shift["n_genes"] == 2
        assert shift["n_changed"] == expected["n_changed"]
        np.testing.assert_allclose(shift[list(MEASURES)].astype(float), expected["sums"], atol=1e-6)


def test_gene_that_no_cell_of_a_group_has_changes_nothing_there() -> None:
    rng = np.random.default_rng(0)
    counts = rng.poisson(1.5, (60, N_GENES)).astype(np.float32)
    counts[30:, 3] = 0
    found = asked((csr_matrix(counts), np.repeat([0, 1], 30)))
    last = found.shifts.iloc[1]
    assert last[["n_genes", "n_changed"]].tolist() == [0, 0]
    assert last[list(MEASURES)].astype(float).tolist() == [0, 0, 0, 0]
    assert last[[f"{name}_p" for name in MEASURES]].isna().all()
    assert (found.genes["group"] == 0).all()
    moves = found.transitions[found.transitions["group"] == 1]
    assert (moves["from"] == moves["to"]).all()
    assert moves["null_share"].isna().all()
    assert moves["n_cells"].sum() == 30


def test_random_genes_are_called_no_more_often_than_said() -> None:
    rng = np.random.default_rng(3)
    rate = rng.gamma(3.0, 1.0, N_GENES)
    counts = csr_matrix(rng.poisson(rate, (50, N_GENES)).astype(np.float32))
    groups = np.zeros(50, dtype=np.int64)
    found = [
        asked((counts, groups), genes=np.array([gene]), n_null=19, max_cells=20).shifts
        for gene in rng.choice(N_GENES, 60, replace=False)
    ]
    p = pd.concat(found)["euclid_p"]
    # Three deviations above 0.1 and 0.5 for 60 questions.
    assert (p <= 0.1).mean() <= 0.22
    assert (p <= 0.5).mean() <= 0.7


def test_encoder_that_cannot_decode(cells: tuple[csr_matrix, np.ndarray]) -> None:
    found = asked(cells, Linear(decodes=False))
    assert found.genes["expression_change"].isna().all()
    assert found.genes["expression_q"].isna().all()
    sizes = found.genes[found.genes["group"] == 0]["attention_change"].abs()
    assert sizes.is_monotonic_decreasing


def test_same_seed_same_numbers(cells: tuple[csr_matrix, np.ndarray]) -> None:
    first, again = (asked(cells, max_cells=10, genes=np.array([3, 8, 9])) for _ in range(2))
    for name in ("shifts", "transitions", "genes"):
        pd.testing.assert_frame_equal(getattr(first, name), getattr(again, name))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"genes": np.array([N_GENES])}, "positions from 0"),
        ({"genes": np.zeros(0, np.int64)}, "at least one"),
        ({"raised": np.array([3])}, "none of them in both"),
        ({"groups": np.zeros(3, np.int64)}, "one group per cell"),
        ({"groups": np.full(70, -1)}, "at least one cell with a group"),
        ({"n_null": 200}, "take fewer null genes"),
        ({"readable": np.zeros(N_GENES, bool)}, "nothing can be removed"),
        ({"state_of_code": np.zeros(1, np.int64)}, "a state for every code"),
    ],
)
def test_bad_questions_are_refused(
    cells: tuple[csr_matrix, np.ndarray], change: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        asked(cells, **change)


# parts


def test_matched_sets_take_no_gene_twice() -> None:
    rng = np.random.default_rng(0)
    matched = np.stack([rng.choice(60, 20, replace=False) for _ in range(12)])
    sets = matched_sets(matched, 60, rng)
    assert sets.shape == (20, 12)
    assert all(len(set(row)) == 12 for row in sets.tolist())
    assert all(chosen in row for col, row in zip(sets.T, matched, strict=True) for chosen in col)
    alone = matched_sets(matched[:1], 60, rng)
    assert sorted(alone[:, 0]) == sorted(matched[0])


def test_changes_of_counts() -> None:
    dense = np.array([[4, 0, 2, 0], [1, 3, 0, 0], [0, 0, 0, 5]], np.float32)
    cut, up = rows_of(np.array([[0]]), 4), rows_of(np.array([[1]]), 4, np.array([[0.5]]))
    zero = np.zeros(3, dtype=np.int64)
    totals = dense.sum(axis=1).astype(float)
    after, kept = Changes(cut, up).apply(csr_matrix(dense), totals, zero)
    assert kept.tolist() == [0, 1, 2]
    assert after.toarray().tolist() == [[0, 3, 2, 0], [0, 3, 0, 0], [0, 2, 0, 5]]
    none = rows_of(np.empty((1, 0), dtype=np.int64), 4)
    after, kept = Changes(cut, none).apply(csr_matrix(dense), totals, zero)
    assert kept.tolist() == [0, 1]
    levels = high_levels(sparse.csc_matrix(dense / totals[:, None]), np.array([0, 1]))
    np.testing.assert_allclose(levels, [np.quantile([4 / 6, 1 / 4], 0.9), 3 / 4])


def test_transitions_are_a_cross_table() -> None:
    rng = np.random.default_rng(0)
    before, after, group = (rng.integers(0, n, 200) for n in (4, 5, 3))
    null = rng.integers(0, 5, (7, 200))
    found = transitions(before, after, group, null_after=null)
    frame = pd.DataFrame({"group": group, "from": before, "to": after})
    count = frame.value_counts()
    size = frame[["group", "from"]].value_counts()
    beside = pd.concat([frame.assign(to=row) for row in null]).value_counts()
    for row in found.to_dict("records"):
        key = (row["group"], row["from"], row["to"])
        assert row["n_cells"] == count.get(key, 0)
        assert row["share"] == pytest.approx(count.get(key, 0) / size[key[:2]])
        assert row["null_share"] == pytest.approx(beside.get(key, 0) / size[key[:2]] / 7)
    assert len(found) == len(set(count.index) | set(beside.index))
    assert found.groupby(["group", "from"])["share"].sum().round(9).eq(1).all()


# real cells


@pytest.fixture(scope="module")
def blood(data_dir: Path) -> anndata.AnnData:
    return anndata.read_h5ad(data_dir / "blood_pbmc68k_700.h5ad")


def test_shipped_encoder_says_the_same_as_before(blood: anndata.AnnData) -> None:
    cells = prepare(blood)
    encoder = get_encoder("cellvq")
    encoding = encoder.encode(cells, seed=0)
    assert isinstance(encoder.fitted, Responds)
    found = encoder.fitted.respond(cells.counts[:60], cells.totals[:60])
    np.testing.assert_array_equal(found.code, encoding.code[:60])
    np.testing.assert_allclose(found.embedding, encoding.embedding[:60], atol=1e-3)
    assert abs(found.attention - encoding.attention[:60]).max() < 1e-3
    assert found.expression is not None
    values = np.log1p(cells.counts.toarray() * 1e4 / cells.totals[:, None])[:60].mean(axis=0)
    read = np.abs(encoding.gene_embedding).sum(axis=1) > 0
    expected = found.expression.mean(axis=0)
    assert (expected[~read] == 0).all()
    assert np.corrcoef(values[read], expected[read])[0, 1] > 0.6


def test_all_genes_are_decoded_as_some_are() -> None:
    torch.manual_seed(0)
    model = CellVQ(CellVQConfig.from_settings({"width": 16, "n_latents": 2}, 40)).eval()
    torch.nn.init.normal_(model.loadings)
    cell, genes = torch.randn(3, 16), torch.tensor([5, 0, 31])
    with torch.no_grad():
        found = model.decode_all(cell, genes, 1e4)
        few = model.decode(cell, torch.tensor([0, 3, 6, 9]), genes.repeat(3), torch.full((9,), 1e4))
    for mine, ragged in zip(found, few, strict=True):
        np.testing.assert_allclose(mine.expand(3, 3).ravel(), ragged, rtol=1e-4)


def test_genes_by_name(blood: anndata.AnnData) -> None:
    table = {"source": "CD74", "target": ["HLA-DRA", "CD3D", "NONE", "CD74"], "sign": [1, -1, 1, 1]}
    regulons = Regulons("mine", "", pd.DataFrame(table))
    some = blood[:250].copy()
    found = perturb_genes(
        some,
        "CD74",
        regulons=regulons,
        groupby="cell_type",
        n_null=9,
        max_cells=10,
        key_added="without_cd74",
    )
    kinds = set(some.obs["cell_type"].astype(str))
    assert set(found.shifts["group"]) <= kinds
    changed = found.genes.loc[found.genes["perturbed"] == 1, "gene"]
    assert set(changed) == {"CD74", "HLA-DRA", "CD3D"}
    assert found.transitions["from"].str.match(r"S\d+").all()
    assert set(some.uns["without_cd74"]) == {"shifts", "transitions", "genes"}
    b_cells = found.genes[(found.genes["group"] == "CD19+ B") & (found.genes["gene"] == "HLA-DRB1")]
    assert b_cells["expression_change"].item() < 0


def test_genes_that_cannot_be_changed(blood: anndata.AnnData) -> None:
    with pytest.raises(InputError, match=r"'cd7x' was given.*measured genes; did you mean.*CD7"):
        perturb_genes(blood, "cd7x")
    silent = blood.copy()
    matrix = sparse.lil_matrix(prepare(blood).counts)
    matrix[:, list(silent.var_names).index("CD74")] = 0
    silent.X = sparse.csr_matrix(matrix)
    with pytest.raises(InputError, match=r"'CD74'.*no cell expresses"):
        perturb_genes(silent, ["CD74"])
    with pytest.raises(InputError, match="'pca' was given; expected one that can be asked again"):
        perturb_genes(blood, "CD74", encoder="pca")
    others = Regulons("mine", "", pd.DataFrame({"source": ["X"], "target": ["Y"], "sign": [1]}))
    with pytest.raises(InputError, match="expected a factor among them"):
        perturb_genes(blood, "CD74", regulons=others)
