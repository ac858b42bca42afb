import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy import stats

from scypher.encoders.counts import normalise
from scypher.interpret.intermediate import monotone_genes
from scypher.interpret.intermediate.membership import path_coordinate, soft_membership

TRIPLE = pd.DataFrame({"state": [3], "from_state": [0], "to_state": [1]})


def along(toy, donors=None, triples=TRIPLE, top=50):
    values = normalise(toy.counts, np.asarray(toy.counts.sum(axis=1)).ravel())
    rng = np.random.default_rng(0)
    found = monotone_genes(
        values, toy.states, toy.graph, triples=triples, donors=donors, rng=rng, top=top
    )
    return found, values


def test_rho_equals_scipy_and_planted_genes_lead(make_toy):
    toy = make_toy("graded")
    found, values = along(toy)
    assert set(found["gene"][:30]) <= set(range(40))
    falling = found[found["gene"] < 20]
    rising = found[(found["gene"] >= 20) & (found["gene"] < 40)]
    assert len(falling) == len(rising) == 20
    assert (falling["rho"] < 0).all()
    assert (rising["rho"] > 0).all()
    cells = np.flatnonzero(toy.labels != 2)
    shares = soft_membership(toy.graph, toy.labels, 4)
    place = path_coordinate(shares, (0, 1), cells)
    for gene, rho, p in found[["gene", "rho", "p"]].head(8).itertuples(index=False):
        oracle = stats.spearmanr(values[cells, gene].toarray().ravel(), place)
        assert rho == pytest.approx(oracle.statistic, abs=1e-9)
        normal = 2 * stats.norm.sf(abs(oracle.statistic) * np.sqrt(len(cells) - 1))
        assert p == pytest.approx(normal, rel=1e-6)
    assert (found["n_donors"] == 0).all()


def test_donors_are_ranked_by_themselves_and_counted(make_toy):
    toy = make_toy("graded")
    rng = np.random.default_rng(1)
    donors = rng.integers(0, 3, len(toy.labels))
    donors[donors == 2] = -1
    found, values = along(toy, donors)
    planted = found[found["gene"] < 40]
    assert (planted["n_donors"] == 2).all()
    assert (planted["donors_agreeing"] == 2).mean() > 0.9
    shares = soft_membership(toy.graph, toy.labels, 4)
    row = found.iloc[0]
    gene = int(row.gene)
    products, squares, times = [], [], []
    for one in (-1, 0, 1):
        cells = np.flatnonzero((toy.labels != 2) & (donors == one))
        place = path_coordinate(shares, (0, 1), cells)
        x, t = (stats.rankdata(v) for v in (values[cells, gene].toarray().ravel(), place))
        x, t = x - x.mean(), t - t.mean()
        products.append((x * t).sum())
        squares.append((x * x).sum())
        times.append((t * t).sum())
    assert row.rho == pytest.approx(sum(products) / np.sqrt(sum(squares) * sum(times)))


def test_shuffled_expression_follows_no_path(make_toy):
    toy = make_toy("graded")
    rng = np.random.default_rng(0)
    dense = toy.counts.toarray()
    shuffled = np.stack([column[rng.permutation(len(column))] for column in dense.T], axis=1)
    found, _ = along(toy._replace(counts=sp.csr_matrix(shuffled)))
    assert len(found) <= 2


def test_genes_of_the_middle_alone_are_left_out_and_top_cuts(make_toy):
    found, _ = along(make_toy("transition"), top=25)
    assert len(found) == 25
    assert not set(found["gene"]) & set(range(100, 112))
    assert found["rho"].abs().is_monotonic_decreasing


def test_no_path_gives_an_empty_table(make_toy):
    found, _ = along(make_toy("graded"), triples=TRIPLE.iloc[:0])
    assert found.empty
    assert list(found) == [
        "state",
        "from_state",
        "to_state",
        "gene",
        "rho",
        "p",
        "q",
        "donors_agreeing",
        "n_donors",
    ]
