import logging
import time

import numpy as np
import pytest
from scipy import stats

from scypher.encoders.errors import InputError
from scypher.interpret.enrichment import enrich
from scypher.interpret.gene_sets import GeneSetLibrary, immune_textbook, read_gmt
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
    assert time.perf_counter() - start < 30
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
