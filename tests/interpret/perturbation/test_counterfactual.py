import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.sparse import csr_matrix

from scypher.encoders.errors import InputError
from scypher.interpret.perturbation.counterfactual import cut_edges, cut_genes, states_of_codes
from scypher.interpret.statistics import adjust

COLUMNS = [
    "gene",
    "group",
    "n_genes",
    "n_cells",
    "n_cut",
    "detected",
    "null_detected",
    "flipped",
    "null_mean",
    "null_sd",
    "z",
    "p",
    "q",
    "state_flipped",
    "state_null_mean",
    "state_null_sd",
    "state_z",
    "state_p",
    "state_q",
    "to_group",
    "to_share",
    "n_null",
]
STATES = np.array([0, 1, 2, 2])


def key_gene_cells() -> tuple[csr_matrix, Any]:
    """Three groups of 40 cells of 60 genes; gene g is high in group g."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(3), 40)
    counts = rng.poisson(2.0, (120, 60))
    counts[:, :3] = 0
    counts[np.arange(120), group] = 5
    return csr_matrix(counts.astype(np.float32)), group


def by_key_gene(counts: csr_matrix, totals: Any) -> Any:
    """Code of the highest key gene, code 3 of a cell without any."""
    keys = counts[:, :3].toarray()
    return np.where(keys.any(axis=1), keys.argmax(axis=1), 3)


class Linear:
    """Code of the highest of some random sums of shares: an encoder without any structure."""

    def __init__(self, n_genes: int, n_codes: int) -> None:
        self.weight = np.random.default_rng(1).normal(size=(n_genes, n_codes))

    def __call__(self, counts: csr_matrix, totals: Any) -> Any:
        return np.asarray((counts @ self.weight) / totals[:, None]).argmax(axis=1)


def ask(rows: list[tuple[int, int]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["gene", "group"])


def cut(counts: csr_matrix, recode: Any, asked: pd.DataFrame, **given: Any) -> pd.DataFrame:
    rng = np.random.default_rng(given.pop("seed", 0))
    return cut_genes(counts, recode, asked, rng=rng, **given)


# genes


def test_gene_that_makes_the_code_flips_it() -> None:
    counts, group = key_gene_cells()
    asked = ask([(2, 2), (0, 0), (10, 0), (1, 1)])
    found = cut(counts, by_key_gene, asked, groups=group, state_of_code=STATES, n_null=19)
    assert list(found.columns) == COLUMNS
    assert found[["gene", "group"]].to_numpy().tolist() == [[0, 0], [10, 0], [1, 1], [2, 2]]
    assert found["flipped"].tolist() == [1, 0, 1, 1]
    # The code that a cell without a key gene has is of state 2.
    assert found["state_flipped"].tolist() == [1, 0, 1, 0]
    assert found["to_group"].tolist() == [2, -1, 2, -1]
    assert found["to_share"].tolist() == [1, 0, 1, 0]
    np.testing.assert_allclose(found["p"], [1 / 20, 1, 1 / 20, 1 / 20])
    np.testing.assert_allclose(found["q"], adjust(found["p"].to_numpy()))
    np.testing.assert_allclose(found["state_q"], adjust(found["state_p"].to_numpy()))
    assert found["z"].isna().all()
    assert (found["n_cells"] == 40).all()
    assert found["n_cut"].iloc[0] == 40


def test_only_the_gene_is_gone_and_the_depth_stays() -> None:
    counts, group = key_gene_cells()
    totals = counts.sum(axis=1).A1
    seen: list[tuple[Any, Any]] = []

    def spy(given: csr_matrix, depth: Any) -> Any:
        seen.append((given.toarray(), depth))
        return by_key_gene(given, depth)

    cut(counts, spy, ask([(10, 0)]), groups=group, state_of_code=STATES, n_null=5)
    dense = counts.toarray()
    np.testing.assert_array_equal(seen[0][0], dense[group == 0])
    changed, depth = seen[1]
    gone = set()
    for row, total in zip(changed, depth, strict=True):
        apart = (dense != row).sum(axis=1)
        cell = int(apart.argmin())
        assert apart[cell] == 1
        assert total == totals[cell]
        gene = int(np.flatnonzero(dense[cell] != row)[0])
        assert row[gene] == 0
        gone.add(gene)
    assert len(gone) == 6
    assert len(changed) == (dense[group == 0][:, sorted(gone)] > 0).sum()


@pytest.fixture(scope="module")
def noise() -> tuple[csr_matrix, Any, Linear]:
    rng = np.random.default_rng(2)
    rate = rng.gamma(1.0, 1.0, 200)
    counts = csr_matrix(rng.poisson(rate, (90, 200)).astype(np.float32))
    return counts, np.repeat([0, 1, -1], 30), Linear(200, 12)


def test_numbers_are_those_of_a_loop(noise: tuple[csr_matrix, Any, Linear]) -> None:
    counts, group, recode = noise
    dense, totals = counts.toarray(), counts.sum(axis=1).A1
    state_of_code = np.arange(12) // 3
    common = np.flatnonzero((dense[:60] > 0).mean(axis=0) > 0.4)
    asked = ask([(int(gene), int(g)) for g in (1, 0) for gene in common[:6]])
    found = cut(
        counts, recode, asked, groups=group, state_of_code=state_of_code, n_null=9, max_cells=30
    )

    def flips(gene: int, g: int) -> tuple[float, float, Any]:
        code, state, to = 0, 0, []
        for cell in np.flatnonzero(group == g):
            row = dense[cell].copy()
            before = int(recode(csr_matrix(row), totals[[cell]])[0])
            row[gene] = 0
            after = int(recode(csr_matrix(row), totals[[cell]])[0])
            code += before != after
            if state_of_code[before] != state_of_code[after]:
                state += 1
                to.append(state_of_code[after])
        return code / 30, state / 30, to

    values = np.log1p(dense * 1e4 / totals[:, None])
    for row in found.itertuples():
        inside = group == row.group
        mean, on = values[inside].mean(axis=0), (dense[inside] > 0).sum(axis=0)
        with np.errstate(divide="ignore"):
            place = np.stack([np.log(mean), np.log((on + 0.5) / (30.5 - on))], axis=1)
        distance = np.linalg.norm(place - place[row.gene], axis=1)
        distance[(on == 0) | np.isin(np.arange(200), common[:6])] = np.inf
        null = np.array([flips(int(gene), row.group)[:2] for gene in np.argsort(distance)[:9]])
        code, state, to = flips(row.gene, row.group)
        np.testing.assert_allclose([row.flipped, row.state_flipped], [code, state])
        np.testing.assert_allclose([row.null_mean, row.state_null_mean], null.mean(axis=0))
        np.testing.assert_allclose([row.null_sd, row.state_null_sd], null.std(axis=0))
        expected = [(1 + (null[:, 0] >= code - 1e-9).sum()) / 10]
        expected.append((1 + (null[:, 1] >= state - 1e-9).sum()) / 10)
        np.testing.assert_allclose([row.p, row.state_p], expected)
        assert row.n_cut == on[row.gene]
        if to:
            assert to.count(row.to_group) == max(map(to.count, to))
            assert row.to_share == pytest.approx(to.count(row.to_group) / len(to))
        if null[:, 0].std() > 0:
            assert row.z == pytest.approx((code - null[:, 0].mean()) / null[:, 0].std())
    assert found["flipped"].max() > 0


def test_random_genes_are_called_no_more_often_than_said() -> None:
    rng = np.random.default_rng(3)
    counts = csr_matrix(rng.poisson(rng.gamma(2.0, 1.0, 600), (60, 600)).astype(np.float32))
    genes = rng.choice(600, 150, replace=False)
    found = cut(
        counts,
        Linear(600, 40),
        ask([(int(gene), 0) for gene in genes]),
        groups=np.zeros(60, np.int64),
        state_of_code=np.arange(40),
        n_null=39,
    )
    # Ties make p conservative; 0.10 is three deviations above 0.05 for 150 questions.
    assert (found["p"] <= 0.05).mean() <= 0.1
    assert (found["p"] <= 0.5).mean() <= 0.6
    assert found["q"].min() > 0.05
    # The rarest genes are the end of the range: they have few alike.
    assert np.quantile(np.abs(found["detected"] - found["null_detected"]), 0.95) < 0.05


def test_two_genes_that_stand_in_for_each_other_are_found_together() -> None:
    counts, group = key_gene_cells()

    def either(given: csr_matrix, totals: Any) -> Any:
        return np.asarray(given[:, 10:12].sum(axis=1)).ravel().astype(int).clip(max=1)

    both = counts.tolil()
    both[:, 10:12] = 1
    given = {"groups": group, "state_of_code": np.arange(2), "n_null": 19}
    asked = ask([(10, 0), (11, 0)])
    alone = cut(both.tocsr(), either, asked, **given)
    assert (alone["flipped"] == 0).all()
    found = cut(both.tocsr(), either, asked, together=True, **given)
    assert found[["gene", "group", "n_genes", "flipped"]].to_numpy().tolist() == [[-1, 0, 2, 1]]
    assert found["p"].tolist() == [1 / 20]
    assert found["to_group"].tolist() == [0]


def test_same_seed_same_cells(noise: tuple[csr_matrix, Any, Linear]) -> None:
    counts, group, recode = noise
    gene = int((counts > 0).sum(axis=0).A1.argmax())
    given = {"groups": group, "state_of_code": np.arange(12), "n_null": 9, "max_cells": 10}
    first, again = (cut(counts, recode, ask([(gene, 0)]), **given) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)
    assert first["n_cells"].tolist() == [10]


def test_genes_that_the_encoder_does_not_read_are_no_null(
    noise: tuple[csr_matrix, Any, Linear],
) -> None:
    counts, group, recode = noise
    gene = int((counts > 0).sum(axis=0).A1.argmax())
    readable = np.arange(200) >= 100
    given = {"groups": group, "state_of_code": np.arange(12), "n_null": 9}
    readable[gene] = True
    touched: set[int] = set()
    dense = counts.toarray()

    def spy(given: csr_matrix, totals: Any) -> Any:
        for row in given.toarray():
            apart = (dense != row).sum(axis=1)
            if apart.min() == 1:
                touched.add(int(np.flatnonzero(dense[apart.argmin()] != row)[0]))
        return recode(given, totals)

    cut(counts, spy, ask([(gene, 0)]), readable=readable, **given)
    assert touched
    assert all(readable[list(touched)])
    readable[gene] = False
    with pytest.raises(InputError, match="leave these out"):
        cut(counts, recode, ask([(gene, 0)]), readable=readable, **given)


@pytest.mark.parametrize(
    ("asked", "change", "reason"),
    [
        ([(0, 1)], {}, "leave these out"),
        ([(0, 0)], {"n_null": 58}, "take fewer null genes"),
        ([(60, 0)], {}, "positions of genes"),
        ([], {}, "at least one"),
        ([(0, 0)], {"groups": np.zeros(3, np.int64)}, "one group per cell"),
        ([(1, 1)], {"state_of_code": np.zeros(1, np.int64)}, "a state for every code"),
    ],
)
def test_bad_questions_are_refused(
    asked: list[tuple[int, int]], change: dict[str, Any], reason: str
) -> None:
    counts, group = key_gene_cells()
    given = {"groups": group, "state_of_code": STATES, "n_null": 5, **change}
    with pytest.raises(InputError, match=reason):
        cut(counts, by_key_gene, ask(asked), **given)


# codes to states


def test_unused_codes_take_the_state_of_the_nearest_used_one() -> None:
    from scypher.kg.states import States

    table = pd.DataFrame({"name": ["S1", "S2", "S1.1"], "level": [1, 1, 2], "parent": [-1, -1, 0]})
    states = States(table, np.zeros((0, 2)), {1: [0, 2], 3: [1]}, sparse.csr_matrix((3, 3)))
    codebook = np.array([[1, 0.1], [1, 0], [0.1, 1], [0, 1]], np.float32)
    assert states_of_codes(states, codebook).tolist() == [0, 0, 1, 1]
    assert states_of_codes(states, codebook, level=2).tolist() == [2, 2, -1, -1]


# edges


@pytest.fixture(scope="module")
def network() -> tuple[Any, Any]:
    """A network whose cells are told apart by one gene each, and by nothing of their embedding."""
    from scypher.kg.attention import GraphAttentionConfig, attend

    rng = np.random.default_rng(0)
    group = rng.integers(0, 3, 240)
    on = rng.random((240, 40)) < 0.4
    on[:, :3] = False
    on[np.arange(240), group] = True
    tokens = csr_matrix(on * rng.uniform(1, 3, on.shape).astype(np.float32))
    found = attend(
        rng.normal(size=(240, 6)).astype(np.float32),
        tokens=tokens,
        gene_features=np.zeros((40, 2), np.float32),
        codes=group,
        codebook=np.eye(3, dtype=np.float32),
        metadata={},
        generator=np.random.default_rng(0),
        config=GraphAttentionConfig(hidden=32, epochs=15, patience=15, batch_cells=32),
    )
    return found.network, group


def test_edge_that_tells_the_code_is_missed(network: tuple[Any, Any]) -> None:
    trained, group = network
    asked = ask([(0, 0), (1, 1), (2, 2), (20, 0)])
    found = cut_edges(
        trained,
        asked,
        groups=group,
        state_of_code=np.array([0, 0, 1]),
        rng=np.random.default_rng(0),
        n_null=19,
        max_cells=20,
    )
    assert found["gene"].tolist() == [0, 20, 1, 2]
    key = found["gene"] < 3
    assert (found.loc[key, "dropped"] > 0.1).all()
    assert (found.loc[key, "p"] == 1 / 20).all()
    assert found.loc[~key, "p"].item() > 1 / 20
    # Codes 0 and 1 are one state, which the cell does not leave as easily as its code.
    assert (found["state_dropped"] < found["dropped"])[found["gene"].isin([0, 1])].all()
    assert "to_group" not in found


def test_fall_is_that_of_a_loop_over_cells(network: tuple[Any, Any]) -> None:
    trained, group = network
    state = np.array([0, 0, 1])
    found = cut_edges(
        trained,
        ask([(20, 1)]),
        groups=group,
        state_of_code=state,
        rng=np.random.default_rng(0),
        n_null=3,
        max_cells=1000,
    )
    code_fall, state_fall = [], []
    for cell in np.flatnonzero(group == 1):
        dense = trained.graph.tokens.toarray()
        logs = []
        for gone in (False, True):
            dense[cell, 20] = 0 if gone else dense[cell, 20]
            logs.append(trained.code_log_probability(csr_matrix(dense), np.array([cell]))[0])
        code_fall.append(logs[0][1] - logs[1][1])
        of_state = [np.log(np.exp(log.astype(float))[:2].sum()) for log in logs]
        state_fall.append(of_state[0] - of_state[1])
    assert found["n_cells"].item() == (group == 1).sum()
    np.testing.assert_allclose(found["dropped"], np.mean(code_fall), atol=1e-5)
    np.testing.assert_allclose(found["state_dropped"], np.mean(state_fall), atol=1e-5)
    assert state[1] == 0


# real cells


def test_fitted_encoder_is_asked_again(data_dir: Path) -> None:
    import torch

    from scypher.encoders.cells import prepare
    from scypher.encoders.cellvq.adapt import adapt
    from scypher.encoders.cellvq.inference import read_cells
    from scypher.encoders.cellvq.tokens import tokenise
    from scypher.encoders.cellvq.weights import load_model
    from scypher.encoders.codes import assign_codes
    from scypher.encoders.counts import normalise
    from scypher.encoders.reading import to_columns

    cells = prepare(data_dir / "blood_pbmc68k_700.h5ad")
    pretrained = load_model()
    column = pd.Index(pretrained.genes).get_indexer(pd.Index(cells.genes["ensembl_id"]))

    def values(counts: csr_matrix, totals: Any) -> csr_matrix:
        return normalise(to_columns(counts, column, len(pretrained.genes)), totals)

    first = values(cells.counts, cells.totals)
    embedding, _ = read_cells(pretrained.model, first, cells.totals)
    model, _ = adapt(
        pretrained.model, first, embedding, seed=0, progress=lambda what, done, total: None
    )
    asked_cells = 0

    @torch.no_grad()
    def recode(counts: csr_matrix, totals: Any) -> Any:
        nonlocal asked_cells
        asked_cells += counts.shape[0]
        given = values(counts, totals)
        read, _ = read_cells(model, given, totals)
        whole = np.hstack([read, model.own(tokenise(given, totals)).numpy()])
        return assign_codes(model.discretise, whole).code

    label = cells.adata.obs["cell_type"].astype(str).to_numpy()
    kinds, group = np.unique(label, return_inverse=True)
    asked_group = int(np.flatnonzero(kinds == "CD8+ Cytotoxic T")[0])
    inside = group == asked_group
    expression = normalise(cells.counts, cells.totals)
    higher = expression[inside].mean(axis=0).A1 - expression[~inside].mean(axis=0).A1
    higher[column < 0] = -np.inf
    found = cut(
        cells.counts,
        recode,
        ask([(int(gene), asked_group) for gene in np.argsort(-higher)[:5]]),
        groups=group,
        state_of_code=np.arange(len(model.discretise.codebook())),
        readable=column >= 0,
        together=True,
        n_null=19,
        max_cells=40,
    )
    assert found["n_genes"].tolist() == [5]
    assert found["flipped"].item() > 3 * found["null_mean"].item()
    assert found["p"].item() == 1 / 20
    assert asked_cells <= 40 * 21


def test_import_loads_no_torch() -> None:
    module = "scypher.interpret.perturbation.counterfactual"
    program = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
