from itertools import combinations, product

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from scypher.encoders.cells import prepare
from scypher.encoders.counts import normalise
from scypher.encoders.errors import InputError
from scypher.interpret.claims.communication import communication_claims
from scypher.interpret.communication.decoys import decoy_p, matched_bins, q_by_pair
from scypher.interpret.communication.donors import donor_evidence
from scypher.interpret.communication.groups import cell_communication, communicate
from scypher.interpret.communication.label_null import label_p
from scypher.interpret.communication.ligand_receptor import PairGenes, Pairs, read_pairs
from scypher.interpret.communication.scores import known_partners, smallest_of
from scypher.interpret.permutations import shuffles
from scypher.kg.build import Parts
from scypher.kg.evidence import Source
from scypher.kg.metadata import read_metadata
from scypher.kg.schema import EVIDENCE
from scypher.kg.states import States

LIGAND, RECEPTOR, SUBUNIT = 0, 1, 2
COLUMNS = [
    *("source", "target", "pair", "score", "specificity", "ligand_mean", "receptor_mean"),
    *("ligand_detected", "receptor_detected", "p", "q", "decoy_p", "decoy_q", "n_decoys"),
    *("donors_agreeing", "n_donors", "donor_p", "donor_q"),
    *("n_cells_source", "n_cells_target", "verdict"),
]


def toy(seed=0, n_cells=600, n_genes=300, n_donors=6):
    """Group 0 sends gene 0 to group 1, which has the receptor of genes 1 and 2."""
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 3, n_cells)
    donors = rng.integers(0, n_donors, n_cells)
    rate = np.tile(rng.gamma(1, 1, n_genes) + 0.2, (n_cells, 1))
    for gene, group in ((LIGAND, 0), (RECEPTOR, 1), (SUBUNIT, 1)):
        rate[:, gene] = np.where(groups == group, 3.0, 0.02)
    values = sp.csr_matrix(np.log1p(rng.poisson(rate)))
    ligand = np.array([[0, -1], [4, -1], [5, 6]])
    receptor = np.array([[1, 2], [7, -1], [8, -1]])
    return values, groups, donors, PairGenes(ligand, receptor, np.arange(3))


def run(values, groups, donors, pairs, **options):
    options = {"rng": np.random.default_rng(0), "n_permutations": 99, "donors": donors} | options
    return communicate(values, groups, int(groups.max()) + 1, pairs, **options)


class TestCommunicate:
    def test_the_planted_pair_is_found_and_no_other(self):
        table = run(*toy(), n_permutations=999)
        assert list(table.columns) == COLUMNS
        called = table[table["verdict"] == "supported"]
        assert called[["source", "target", "pair"]].to_numpy().tolist() == [[0, 1, 0]]
        best = called.iloc[0]
        assert best["specificity"] > 3
        assert (best["donors_agreeing"], best["n_donors"]) == (6, 6)
        assert best["donor_p"] == 1 / 64
        assert len(table) == 3 * 9

    def test_scores_are_those_of_a_short_loop(self):
        values, groups, donors, pairs = toy(n_cells=150)
        table = run(values, groups, donors, pairs, min_detected=0)
        dense = values.toarray()
        frame = table.set_index(["pair", "source", "target"])
        for pair in range(3):
            ends = [side[pair][side[pair] >= 0] for side in (pairs.ligand, pairs.receptor)]
            scores = {}
            for a, b in product(range(3), repeat=2):
                low = [
                    min(dense[groups == group, gene].mean() for gene in end)
                    for group, end in zip((a, b), ends, strict=True)
                ]
                share = min((dense[groups == a, gene] > 0).mean() for gene in ends[0])
                scores[a, b] = np.sqrt(low[0] * low[1])
                row = frame.loc[(pair, a, b)]
                assert row["score"] == pytest.approx(scores[a, b])
                assert [row["ligand_mean"], row["receptor_mean"]] == pytest.approx(low)
                assert row["ligand_detected"] == pytest.approx(share)
            mean = np.mean(list(scores.values()))
            for (a, b), score in scores.items():
                assert frame.loc[(pair, a, b), "specificity"] == pytest.approx(score / mean)

    def test_same_seed_same_table(self):
        pd.testing.assert_frame_equal(run(*toy()), run(*toy()))

    def test_small_groups_and_rare_genes_take_no_part(self):
        values, groups, donors, pairs = toy()
        groups[np.flatnonzero(groups == 2)[9:]] = -1
        table = run(values, groups, donors, pairs)
        assert set(table["source"]) == set(table["target"]) == {0, 1}
        values = values.tolil()
        values[:, 4] = 0
        values[0, 4] = 1.0
        table = run(values.tocsr(), groups, donors, pairs)
        assert set(table["pair"]) == {0, 2}

    def test_nothing_tested_is_an_empty_table(self):
        values, groups, donors, pairs = toy()
        table = run(values, groups, donors, pairs, min_detected=1.1)
        assert list(table.columns) == COLUMNS
        assert len(table) == 0

    def test_unknown_donors(self):
        values, groups, _, pairs = toy()
        table = run(values, groups, None, pairs)
        assert (table["n_donors"] == 0).all()
        assert table["donor_p"].isna().all()
        table = run(values, groups, np.full(len(groups), -1), pairs)
        assert (table["n_donors"] == 0).all()

    def test_bad_input_is_refused(self):
        values, groups, donors, pairs = toy(n_cells=90)
        with pytest.raises(InputError, match="expected one label per cell"):
            communicate(values, groups[1:], 3, pairs, rng=np.random.default_rng(0))
        with pytest.raises(InputError, match="89 donors were given for 90 cells"):
            run(values, groups, donors[1:], pairs)
        with pytest.raises(InputError, match="negative"):
            run(-values, groups, donors, pairs)
        with pytest.raises(InputError, match="0 permutations"):
            run(values, groups, donors, pairs, n_permutations=0)
        with pytest.raises(InputError, match="0 of 3 groups have 80 cells"):
            run(values, groups, donors, pairs, min_cells=80)
        with pytest.raises(InputError, match="3 pairs were given for 7 genes"):
            run(values[:, :7], groups, donors, pairs)


class TestLabelNull:
    def test_p_is_that_of_brute_force(self):
        values, groups, donors, pairs = toy(n_cells=80)
        p = label_p(
            values,
            groups,
            pairs.ligand,
            pairs.receptor,
            strata=donors,
            rng=np.random.default_rng(3),
            n_permutations=50,
        )
        drawn = shuffles(groups, donors, np.random.default_rng(3), n=50)
        dense = values.toarray()

        def score(labels, pair, a, b):
            low = [
                min(dense[labels == group, gene].mean() for gene in side[pair] if gene >= 0)
                for group, side in ((a, pairs.ligand), (b, pairs.receptor))
            ]
            return low[0] * low[1]

        for pair, a, b in product(range(3), repeat=3):
            seen = score(groups, pair, a, b) * (1 - 1e-9)
            above = sum(score(drawn[:, draw], pair, a, b) >= seen for draw in range(50))
            assert p[pair, a, b] == (above + 1) / 51

    def test_donors_are_respected(self):
        # Genes differ between donors alone, and so do the shares of the groups.
        within, across = [], []
        for seed in range(20):
            rng = np.random.default_rng(seed)
            donors = np.repeat([0, 1], 300)
            groups = (rng.random(600) < np.where(donors == 0, 0.9, 0.1)).astype(np.int64)
            rate = np.column_stack([np.where(donors == 0, 3.0, 0.3)] * 2)
            values = sp.csr_matrix(np.log1p(rng.poisson(rate)))
            pair = np.array([[0]]), np.array([[1]])
            options = {"rng": rng, "n_permutations": 99}
            whole = np.zeros(600, dtype=np.int64)
            within.append(label_p(values, groups, *pair, strata=donors, **options)[0, 1, 1])
            across.append(label_p(values, groups, *pair, strata=whole, **options)[0, 1, 1])
        assert max(across) == 1 / 100
        assert np.mean(np.array(within) < 0.05) <= 0.2
        assert np.mean(within) == pytest.approx(0.5, abs=0.25)


class TestDecoyNull:
    def test_bins_hold_like_genes_of_enough_number(self):
        rng = np.random.default_rng(0)
        mean = rng.gamma(1, 1, 1000)
        among = rng.random(1000) < 0.9
        bins = matched_bins(mean, np.tanh(mean), among=among)
        assert (bins[~among] == -1).all()
        assert np.bincount(bins[among]).min() >= 100
        spread = pd.Series(mean[among]).rank(pct=True).groupby(bins[among]).agg(np.ptp)
        assert spread.max() < 0.6

    def test_p_is_that_of_a_short_loop(self):
        rng = np.random.default_rng(1)
        means = rng.gamma(0.5, 1, (3, 40))
        bins = np.arange(40) % 2
        ligand, receptor = np.array([[0], [2]]), np.array([[1], [4]])
        known = known_partners(40, PairGenes(ligand, receptor))
        p, n_decoys = decoy_p(means, bins, ligand, receptor, known=known, rng=rng)

        def specificity(i, j):
            scores = np.sqrt(np.outer(means[:, i], means[:, j]))
            return scores / scores.mean()

        partners = {(0, 1), (1, 0), (2, 4), (4, 2)}
        for pair, (i, j) in enumerate([(0, 1), (2, 4)]):
            drawn = product(np.flatnonzero(bins == bins[i]), np.flatnonzero(bins == bins[j]))
            null = [specificity(a, b).max() for a, b in drawn if a != b and (a, b) not in partners]
            assert n_decoys[pair] == len(null)
            for a, b in product(range(3), repeat=2):
                above = sum(one >= specificity(i, j)[a, b] * (1 - 1e-9) for one in null)
                assert p[pair, a, b] == pytest.approx((above + 1) / (len(null) + 1))

    def test_complexes_are_beside_complexes(self):
        rng = np.random.default_rng(1)
        means = rng.gamma(0.5, 1, (3, 60))
        sides = np.array([[0, 1], [2, -1]]), np.array([[3], [4]])
        known = sp.csr_matrix((60, 60))
        p, n_decoys = decoy_p(means, np.zeros(60, dtype=np.int64), *sides, known=known, rng=rng)
        assert (p > 0).all()
        # Draws of the same gene twice are no complex.
        assert 40 * 60 < n_decoys[0] < 60 * 60
        assert n_decoys[1] == 60 * 59

    def test_p_of_random_pairs_is_uniform(self):
        rng = np.random.default_rng(2)
        means = rng.gamma(0.3, 1, (4, 400))
        bins = np.repeat(np.arange(4), 100)
        ends = np.array([rng.choice(400, 2, replace=False) for _ in range(600)])
        p, _ = decoy_p(
            means, bins, ends[:, :1], ends[:, 1:], known=sp.csr_matrix((400, 400)), rng=rng
        )
        smallest = p.min(axis=(1, 2))
        for level in (0.05, 0.2, 0.5):
            assert abs((smallest <= level).mean() - level) < 4 * np.sqrt(level / 600)
        assert (q_by_pair(p) < 0.05).any(axis=(1, 2)).mean() < 0.05

    def test_q_is_that_of_a_short_loop(self):
        p = np.random.default_rng(0).beta(0.5, 1, (20, 2, 2))
        smallest = p.min(axis=(1, 2))
        q = q_by_pair(p)
        levels = np.unique(p)
        for place in np.ndindex(p.shape):
            best = min(
                20 * level / (smallest <= level).sum() for level in levels if level >= p[place]
            )
            assert q[place] == pytest.approx(min(best, 1))


class TestDonors:
    def test_evidence_is_that_of_a_short_loop(self):
        values, groups, donors, pairs = toy(n_cells=260)
        donors[donors == 5] = -1
        ligand, receptor = pairs.ligand[:2], pairs.receptor[:2]
        found = donor_evidence(
            values, groups, donors, ligand, receptor, min_cells=14, rng=np.random.default_rng(0)
        )
        dense = values.toarray()
        excess = {}
        for donor in range(5):
            enough = [g for g in range(3) if ((groups == g) & (donors == donor)).sum() >= 14]
            means = {g: dense[(groups == g) & (donors == donor)].mean(0) for g in enough}
            for pair in range(2):
                ends = [side[pair][side[pair] >= 0] for side in (ligand, receptor)]
                scores = {
                    (a, b): np.sqrt(means[a][ends[0]].min() * means[b][ends[1]].min())
                    for a, b in product(enough, repeat=2)
                }
                for two, score in scores.items():
                    mean = np.mean(list(scores.values()))
                    excess.setdefault((pair, *two), []).append(score - mean)
        assert len(excess) == 18
        assert len({len(values) for values in excess.values()}) > 1
        for place, seen in excess.items():
            assert found["n_donors"][place] == len(seen)
            assert found["donors_agreeing"][place] == sum(one > 0 for one in seen)
            if len(seen) < 5:
                assert np.isnan(found["donor_p"][place])
                continue
            flips = [np.dot(signs, seen) for signs in product([1, -1], repeat=len(seen))]
            share = np.mean(np.array(flips) >= sum(seen) - 1e-9)
            assert found["donor_p"][place] == pytest.approx(share)

    def test_many_donors_have_no_p_of_zero(self):
        values, groups, donors, pairs = toy(n_cells=2000, n_donors=14)
        found = donor_evidence(
            values,
            groups,
            donors,
            pairs.ligand,
            pairs.receptor,
            min_cells=5,
            rng=np.random.default_rng(0),
        )
        assert found["n_donors"].max() == 14
        assert found["donor_p"][0, 0, 1] >= 1 / 1024
        assert found["donor_p"][0, 0, 1] < 0.01


class TestVerb:
    def adata(self):
        values, groups, donors, _ = toy()
        cells = anndata.AnnData(values)
        cells.var_names = ["L", "R1", "R2", *(f"g{number}" for number in range(3, 300))]
        cells.obs["type"] = np.array(["A", "B", "C"])[groups]
        cells.obs["donor"] = donors.astype(str)
        pairs = Pairs(
            *("mine", "0"),
            ligand=(("L",), ("g4",), ("nowhere",)),
            receptor=(("R1", "R2"), ("g7",), ("L",)),
            pathway=("P", "", ""),
            category=("", "", ""),
        )
        return cells, pairs

    def test_names_and_slot(self):
        cells, pairs = self.adata()
        table = cell_communication(cells, "type", pairs, donor="donor", n_permutations=99)
        assert "talk" not in cells.uns
        best = table.iloc[0]
        assert best[["source", "target", "ligand", "receptor", "pathway"]].tolist() == [
            *("A", "B", "L", "R1_R2", "P")
        ]
        assert "2 of 3 pairs are measured" in table.attrs["notes"][0]
        cell_communication(cells, "type", pairs, n_permutations=9, key_added="talk")
        assert list(cells.uns["talk"].columns) == list(table.columns)

    def test_symbols_in_a_column(self):
        cells, pairs = self.adata()
        cells.var["symbol"] = cells.var_names
        cells.var_names = [f"ENSG{number}" for number in range(300)]
        with pytest.raises(InputError, match="no pairs have all their genes"):
            cell_communication(cells, "type", pairs)
        with pytest.raises(InputError, match="there is no column 'other' in var"):
            cell_communication(cells, "type", pairs, gene_symbols="other")
        table = cell_communication(cells, "type", pairs, gene_symbols="symbol", n_permutations=9)
        assert table["ligand"].iloc[0] == "L"


@pytest.fixture(scope="module")
def kang_table(data_dir):
    cells = anndata.read_h5ad(data_dir / "blood_kang_ifnb.h5ad")
    pairs = read_pairs(data_dir / "knowledge" / "lr_liana_consensus.tsv.gz")
    return cell_communication(cells, "cell_type", pairs, donor="donor", n_permutations=400)


class TestRealCells:
    def test_known_signals_of_blood_are_supported(self, kang_table):
        called = kang_table[kang_table["verdict"] == "supported"]
        told = set(zip(called["ligand"], called["receptor"], called["target"], strict=True))
        # CCR1 of monocytes, the inhibitory receptor of natural killer cells.
        assert ("CCL2", "CCR1", "CD14+ monocyte") in told
        assert ("HLA-E", "KLRC1_KLRD1", "NK") in told

    def test_no_p_is_zero_and_donors_are_counted(self, kang_table):
        for name in ("p", "q", "decoy_p", "decoy_q"):
            assert kang_table[name].between(0, 1, inclusive="right").all()
        assert kang_table["n_donors"].max() == 8
        assert (kang_table["donors_agreeing"] <= kang_table["n_donors"]).all()

    def test_decoys_are_not_called(self, data_dir):
        cells = anndata.read_h5ad(data_dir / "lr_blood_tonsil_204genes.h5ad")[::5].copy()
        pairs = read_pairs(data_dir / "knowledge" / "lr_liana_consensus.tsv.gz")
        known = {
            frozenset(two)
            for ligand, receptor in zip(pairs.ligand, pairs.receptor, strict=True)
            for two in product(ligand, receptor)
        }
        free = [two for two in combinations(cells.var_names, 2) if frozenset(two) not in known]
        chosen = np.random.default_rng(0).choice(len(free), 100, replace=False)
        decoys = Pairs(
            *("decoys", "0"),
            ligand=tuple((free[place][0],) for place in chosen),
            receptor=tuple((free[place][1],) for place in chosen),
            pathway=("",) * 100,
            category=("",) * 100,
        )
        table = cell_communication(
            cells, "cell_type", decoys, totals="total_counts_all_genes", n_permutations=200
        )
        # Decoys are specific to groups as well, which is why labels alone do not support a pair.
        assert (table["q"] < 0.05).mean() > 0.05
        assert (table["verdict"] == "supported").mean() <= 0.05


def test_the_smallest_subunit_is_taken():
    profiles = np.array([[3.0, 1.0, 2.0]])
    genes = np.array([[0, 2], [0, -1], [1, 0]])
    assert smallest_of(profiles, genes).tolist() == [[2.0, 3.0, 1.0]]


class TestClaims:
    SOURCE = Source("kang", "0" * 64, "1" * 64)

    def parts(self, data_dir, n_cells):
        """Parts whose states are the cell types; only what the claims read is there."""
        cells = prepare(anndata.read_h5ad(data_dir / "blood_kang_ifnb.h5ad")[:n_cells].copy())
        metadata = read_metadata(cells.adata, {}, strict=True)[0]
        types = metadata["cell_type"]
        table = pd.DataFrame(
            {
                "name": [f"S{number + 1}" for number in range(len(types.labels))],
                "level": 1,
                "size": np.bincount(types.values, minlength=len(types.labels)),
            }
        )
        cell = np.column_stack([types.values, np.full(len(types.values), -1)])
        states = States(table, cell, {}, sp.csr_matrix((len(table),) * 2), np.nan, table)
        return Parts("kang", cells, None, metadata, states, None, None)

    def test_edges_carry_evidence_and_are_bounded(self, data_dir, monkeypatch):
        monkeypatch.setattr("scypher.interpret.claims.communication.MOST_PAIRS", 5)
        parts = self.parts(data_dir, None)
        pairs = read_pairs(data_dir / "knowledge" / "lr_liana_consensus.tsv.gz")
        values = normalise(parts.cells.counts, parts.cells.totals)
        claims, notes = communication_claims(
            parts, values, pairs, self.SOURCE, np.random.default_rng(0)
        )
        edges = claims.edges["State", "COMMUNICATES_WITH", "State"]
        assert {item.name for item in EVIDENCE} <= set(edges.columns)
        assert (edges["q"] < 0.05).all()
        assert set(edges["verdict"]) == {"supported", "specific_only"}
        two = edges.groupby(["source", "target"])
        assert two.size().max() == 5
        # Supported ones are not crowded out.
        late = edges["verdict"] != "supported"
        assert not late.groupby([edges["source"], edges["target"]]).diff().eq(-1).any()
        assert not edges.duplicated(["source", "target", "ligand", "receptor"]).any()
        symbol = parts.cells.genes.set_index("key")["symbol"]
        for row in edges.itertuples():
            assert "_".join(symbol[row.ligand_genes]) == row.ligand
            assert "_".join(symbol[row.receptor_genes]) == row.receptor
        assert "pairs are measured" in notes[0]
        assert f"{len(edges)} kept" in notes[-1]

    def test_too_few_cells_are_a_note(self, data_dir):
        parts = self.parts(data_dir, 200)
        parts.states.cell[15:, 0] = -1
        pairs = read_pairs(data_dir / "knowledge" / "lr_liana_consensus.tsv.gz")
        values = normalise(parts.cells.counts, parts.cells.totals)
        claims, notes = communication_claims(
            parts, values, pairs, self.SOURCE, np.random.default_rng(0)
        )
        assert claims.edges == {}
        assert "fewer than two states have 10 cells" in notes[-1]
