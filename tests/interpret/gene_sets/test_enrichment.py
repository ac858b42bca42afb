import logging
import time

import anndata
import gseapy
import numpy as np
import pandas as pd
import pytest
import scanpy
from scipy import stats

from scypher.encoders.errors import InputError
from scypher.interpret.gene_sets.enrichment import enrich, gene_set_enrichment, hypergeometric_p
from scypher.interpret.gene_sets.library import (
    GeneSetLibrary,
    immune_textbook,
    known_genes,
    read_gmt,
)
from scypher.interpret.gene_sets.ranked_enrichment import enrich_ranked
from scypher.interpret.statistics import SMALLEST, adjust


def library_of(**sets):
    return GeneSetLibrary("toy", "0" * 12, {name: ("", tuple(g)) for name, g in sets.items()})


def random_case(seed=0):
    rng = np.random.default_rng(seed)
    universe = [f"gene-{number}" for number in range(400)]
    sets = {
        f"set {number}": [*rng.choice(universe, rng.integers(3, 60), replace=False), "elsewhere"]
        for number in range(40)
    }
    queries = {name: list(rng.choice(universe, 30, replace=False)) for name in ("b", "a", "c")}
    queries["b"] = sets["set 5"][:20] + queries["b"][:10] + ["unmeasured"]
    return queries, library_of(**sets), universe


def test_table_equals_scipy():
    queries, library, universe = random_case()
    table = enrich(queries, library, universe)
    tested = 0
    expected = {}
    for query, genes in queries.items():
        asked = set(genes) & set(universe)
        for name, (_, members) in library.sets.items():
            inside = set(members) & set(universe)
            if not 5 <= len(inside) <= 500:
                continue
            tested += 1
            shared = asked & inside
            if shared:
                p = stats.hypergeom.sf(len(shared) - 1, len(universe), len(inside), len(asked))
                expected[query, name] = (p, shared, len(inside), len(asked))
    assert len(table) == len(expected)
    for row in table.itertuples():
        p, shared, size, asked = expected[row.query, row.name]
        assert row.p == pytest.approx(p, abs=1e-9, rel=1e-9)
        assert row.genes == sorted(shared)
        assert (row.overlap, row.set_size, row.query_size) == (len(shared), size, asked)
        assert row.universe == 400
        a, b, c = len(shared), size - len(shared), asked - len(shared)
        d = 400 - a - b - c
        odds = (a + 0.5) * (d + 0.5) / ((b + 0.5) * (c + 0.5))
        assert row.odds_ratio == pytest.approx(odds, rel=1e-9)
    p = np.concatenate([table["p"], np.ones(tested - len(table))])
    np.testing.assert_allclose(table["q"], adjust(p)[: len(table)], rtol=1e-9)
    assert list(dict.fromkeys(table["query"])) == ["b", "a", "c"]
    assert table.groupby("query")["p"].apply(lambda p: p.is_monotonic_increasing).all()
    assert table.iloc[0]["name"] == "set 5"
    assert table.iloc[0]["q"] < 0.05


def test_table_equals_gseapy():
    queries, library, universe = random_case(seed=2)
    table = enrich(queries, library, universe, max_size=30).set_index(["query", "name"])
    inside = {name: set(genes) & set(universe) for name, (_, genes) in library.sets.items()}
    sets = {name: sorted(genes) for name, genes in inside.items() if 5 <= len(genes) <= 30}
    for query, genes in queries.items():
        peer = gseapy.enrich(
            gene_list=genes, gene_sets=sets, background=universe, outdir=None, no_plot=True
        ).results.set_index("Term")
        ours = table.loc[query]
        assert sorted(ours.index) == sorted(peer.index)
        peer = peer.loc[ours.index]
        np.testing.assert_allclose(ours["p"], peer["P-value"], rtol=1e-9)
        np.testing.assert_allclose(ours["odds_ratio"], peer["Odds Ratio"], rtol=1e-9)
        assert ours["genes"].tolist() == [sorted(names.split(";")) for names in peer["Genes"]]


def test_tail_equals_sums_of_exact_fractions():
    from fractions import Fraction
    from math import comb

    for overlap, size, asked, universe in [
        (1, 5, 9, 300),
        (40, 90, 120, 20_000),
        (3, 400, 90, 999),
    ]:
        ways = sum(
            comb(size, k) * comb(universe - size, asked - k)
            for k in range(overlap, min(size, asked) + 1)
        )
        exact = float(Fraction(ways, comb(universe, asked)))
        counts = (np.array([overlap]), np.array([size]), np.array([asked]))
        assert hypergeometric_p(*counts, universe)[0] == pytest.approx(exact, rel=1e-9)


def test_random_lists_find_nothing():
    found = tested = 0
    for seed in range(5):
        queries, library, universe = random_case(seed)
        table = enrich({name: queries[name] for name in ("a", "c")}, library, universe)
        found += (table["q"] < 0.05).sum()
        tested += len(table)
    assert found <= 0.05 * tested


def test_sizes_are_those_of_measured_genes():
    universe = [f"g{number}" for number in range(50)]
    library = library_of(small=universe[:4], large=universe[:30], good=[*universe[:9], "x", "y"])
    table = enrich({"q": universe[:6]}, library, universe, max_size=20)
    assert table["name"].tolist() == ["good"]
    assert table["set_size"].tolist() == [9]
    assert table["q"].tolist() == table["p"].tolist()


def test_names_stay_what_they_are():
    # digits alone, lower case and semicolons each mean something else to other tools
    universe = ["1", "2", "3", "gad1", "GAD1", "a;b", *(f"u{number}" for number in range(30))]
    library = library_of(odd=["1", "2", "gad1", "a;b", "u0"])
    table = enrich({"q": ["1", "gad1", "a;b"], "r": ["GAD1", "3"]}, library, universe)
    assert table["genes"].tolist() == [["1", "a;b", "gad1"]]
    assert table["query"].tolist() == ["q"]


def test_nothing_shared_gives_no_rows(capfd, caplog):
    universe = [f"g{number}" for number in range(50)]
    library = library_of(one=universe[:9])
    with caplog.at_level(logging.DEBUG):
        table = enrich({"none": [], "other": universe[20:30], "far": ["x"]}, library, universe)
    assert table.empty
    assert table["overlap"].dtype == np.int64
    assert list(table.columns[:2]) == ["query", "name"]
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    with pytest.raises(InputError, match="none are shared"):
        enrich({"q": ["x"]}, library, ["x", "y"])


def test_p_is_never_zero():
    universe = [f"g{number}" for number in range(20_000)]
    table = enrich({"q": universe[:400]}, library_of(same=universe[:400]), universe)
    assert SMALLEST <= table["p"].item() < 1e-300


def test_many_lists_against_a_large_library_are_quick(data_dir):
    library = read_gmt(data_dir / "knowledge" / "genesets_reactome.gmt")
    universe = sorted({gene for _, genes in library.sets.values() for gene in genes})
    rng = np.random.default_rng(0)
    queries = {str(n): list(rng.choice(universe, 50, replace=False)) for n in range(50)}
    start = time.perf_counter()
    table = enrich(queries, library, universe)
    assert time.perf_counter() - start < 5
    assert (table["q"] < 0.05).mean() < 0.01


def test_textbook_sets_name_the_genes_of_blood_cells():
    library = read_gmt(immune_textbook())
    universe = sorted({gene for _, genes in library.sets.values() for gene in genes})
    table = enrich(
        {
            "interferon": ["ISG15", "IFI6", "IFIT1", "IFIT3", "MX1", "OAS1", "RSAD2"],
            "monocyte": ["LYZ", "S100A8", "S100A9", "CD14", "FCN1", "VCAN"],
        },
        library,
        universe,
    )
    best = table.groupby("query", sort=False)["name"].first()
    assert best.to_dict() == {
        "interferon": "TYPE_I_INTERFERON_RESPONSE",
        "monocyte": "CLASSICAL_MONOCYTE",
    }


def markers_of(queries, universe, *, seed=0):
    """Return every gene of the universe scored in every group, those of the group the highest."""
    rng = np.random.default_rng(seed)
    frames = []
    for group, genes in queries.items():
        score = pd.Series(rng.normal(size=len(universe)), index=universe)
        score[[gene for gene in genes if gene in score]] += 4
        frames.append(pd.DataFrame({"group": group, "gene": universe, "score": score.to_numpy()}))
    return pd.concat(frames, ignore_index=True)


def test_verb_asks_of_the_best_genes_of_every_group():
    queries, library, universe = random_case()
    markers = markers_of(queries, universe)
    best = {
        group: rows.sort_values("score", ascending=False)["gene"].head(25).tolist()
        for group, rows in markers.groupby("group", sort=False)
    }
    expected = enrich(best, library, universe)
    given = {"universe": universe, "n_genes": 25}
    found = gene_set_enrichment(markers, library, score="score", **given)
    assert found["library"].eq("toy").all()
    pd.testing.assert_frame_equal(found.drop(columns="library"), expected)
    known = known_genes(library, universe)
    assert known[1] == 1
    assert found.attrs["known_genes"] == {"toy": known}
    ranks = markers.assign(rank=markers.groupby("group")["score"].rank(ascending=False))
    pd.testing.assert_frame_equal(gene_set_enrichment(ranks, library, **given), found)
    places = {gene: place for place, gene in enumerate(universe)}
    numbered = ranks.assign(gene=ranks["gene"].map(places))
    pd.testing.assert_frame_equal(gene_set_enrichment(numbered, library, **given), found)
    lists = gene_set_enrichment(best, library, universe=universe, n_genes=1)
    pd.testing.assert_frame_equal(lists, found)


def test_verb_ranks_all_genes_and_adjusts_over_all_libraries(tmp_path):
    queries, library, universe = random_case()
    markers = markers_of(queries, universe)
    path = tmp_path / "more.gmt"
    path.write_text("\t".join(["set 1", "", *universe[:12]]) + "\n")
    one = {name: list(genes) for name, (_, genes) in library.sets.items()}
    found = gene_set_enrichment(markers, [one, path], ranked=True, score="score", seed=3)
    assert set(found["library"]) == {"given", "more"}
    assert found.groupby("library").size().to_dict()["more"] == 3
    np.testing.assert_allclose(found["q"], adjust(found["p"].to_numpy()))
    scores = {
        str(group): rows.set_index("gene")["score"]
        for group, rows in markers.groupby("group", sort=False)
    }
    alone = enrich_ranked(scores, library, rng=np.random.default_rng(0))
    both = found[found["library"] == "given"].merge(alone, on=["query", "name"])
    assert len(both) == len(alone)
    np.testing.assert_allclose(both["es_x"], both["es_y"])
    assert found.groupby("query", sort=False)["name"].first()["b"] == "set 5"


@pytest.mark.parametrize("ranked", [False, True])
def test_verb_reads_a_ranking_of_scanpy_and_writes_a_slot(data_dir, tmp_path, ranked):
    cells = anndata.read_h5ad(data_dir / "blood_pbmc3k.h5ad")[::5].copy()
    scanpy.pp.filter_genes(cells, min_cells=10)
    scanpy.pp.normalize_total(cells, target_sum=1e4)
    scanpy.pp.log1p(cells)
    scanpy.tl.rank_genes_groups(cells, "cell_type", method="t-test")
    found = gene_set_enrichment(
        cells, immune_textbook(), ranked=ranked, n_genes=30, key_added="sets"
    )
    assert set(found["query"]) <= set(cells.obs["cell_type"])
    assert (found["universe"] == cells.n_vars).all()
    if ranked:
        found = found[found["es"] > 0]
    mono = found[found["query"].str.contains("CD14")].sort_values("p", kind="stable")
    assert "MONOCYTE" in " ".join(mono["name"].head(3))
    cells.write_h5ad(tmp_path / "cells.h5ad")
    kept = anndata.read_h5ad(tmp_path / "cells.h5ad").uns["sets"]
    assert kept.columns.tolist() == found.columns.tolist()
    assert kept.iloc[:, -1].str.contains(";").any()


def test_verb_refuses_what_it_cannot_ask():
    queries, library, universe = random_case()
    markers = markers_of(queries, universe)
    with pytest.raises(InputError, match="no column gene"):
        gene_set_enrichment(markers.drop(columns="gene"), library, universe=universe)
    with pytest.raises(InputError, match="no universe was given"):
        gene_set_enrichment(markers, library)
    with pytest.raises(InputError, match="without a score"):
        gene_set_enrichment(markers, library, ranked=True)
    with pytest.raises(InputError, match="no column other"):
        gene_set_enrichment(markers, library, universe=universe, score="other")
    with pytest.raises(InputError, match="n_genes=0"):
        gene_set_enrichment(markers, library, universe=universe, n_genes=0)
    with pytest.raises(InputError, match="positions of genes up to 400"):
        gene_set_enrichment(markers.assign(gene=400), library, universe=universe)
    with pytest.raises(InputError, match="without an AnnData object"):
        gene_set_enrichment(markers, library, universe=universe, key_added="x")
    with pytest.raises(InputError, match=r"list was given.*\{'mine': genes\}"):
        gene_set_enrichment(["CD3D"], library, universe=universe)
    with pytest.raises(InputError, match="not finite"):
        gene_set_enrichment(markers.assign(score=np.nan), library, ranked=True, score="score")
    with pytest.raises(InputError, match="there is no 'rank_genes_groups'"):
        gene_set_enrichment(anndata.AnnData(np.ones((2, 2))), library)
    with pytest.raises(InputError, match="each with a name of its own"):
        gene_set_enrichment(markers, [library, library], universe=universe)
    with pytest.raises(InputError, match="sets empty without a gene"):
        gene_set_enrichment(markers, {"empty": []}, universe=universe)
