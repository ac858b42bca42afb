import logging

import gseapy
import numpy as np
import pandas as pd
import pytest

from scypher.encoders.errors import InputError
from scypher.interpret.gene_sets.library import GeneSetLibrary, read_gmt
from scypher.interpret.gene_sets.ranked_enrichment import enrich_ranked, running_enrichment
from scypher.interpret.statistics import adjust


def library_of(**sets):
    return GeneSetLibrary("toy", "0" * 12, {name: ("", tuple(g)) for name, g in sets.items()})


def random_case(seed=0, n=300, n_sets=25):
    rng = np.random.default_rng(seed)
    scores = pd.Series(rng.normal(size=n), index=[f"gene-{number}" for number in range(n)])
    sets = {
        f"set {number}": [*rng.choice(scores.index, rng.integers(5, 60), replace=False), "other"]
        for number in range(n_sets)
    }
    return scores, library_of(**sets)


def score_by_loop(scores, genes, weight=1.0):
    """Return the enrichment score: the running sum, read where the score of the genes changes."""
    ranked = sorted(scores.items(), key=lambda pair: -pair[1])
    inside = [gene in genes for gene, _ in ranked]
    total = sum(abs(value) ** weight for (_, value), hit in zip(ranked, inside, strict=True) if hit)
    size, summed, best = sum(inside), 0.0, 0.0
    for place, ((_, value), hit) in enumerate(zip(ranked, inside, strict=True)):
        if hit:
            summed += abs(value) ** weight / total if total else 1 / size
        else:
            summed -= 1 / (len(ranked) - size)
        last = place + 1 == len(ranked) or ranked[place + 1][1] != value
        if last and abs(summed) > abs(best):
            best = summed
    return best


@pytest.mark.parametrize("weight", [0.0, 1.0, 1.5])
def test_scores_equal_those_of_gseapy(weight, caplog):
    scores, library = random_case()
    table = enrich_ranked(
        {"a": scores}, library, rng=np.random.default_rng(1), n_permutations=2000, weight=weight
    ).set_index("name")
    sets = {name: list(genes) for name, (_, genes) in library.sets.items()}
    with caplog.at_level(logging.ERROR):
        peer = gseapy.prerank(
            scores.copy(),
            sets,
            min_size=5,
            max_size=500,
            permutation_num=2000,
            weight=weight,
            outdir=None,
            no_plot=True,
            seed=0,
        ).res2d.set_index("Term")
    peer = peer.loc[table.index]
    np.testing.assert_allclose(table["es"], peer["ES"].astype(float), atol=1e-12)
    np.testing.assert_allclose(table["nes"], peer["NES"].astype(float), rtol=0.06)
    np.testing.assert_allclose(table["p"], peer["NOM p-val"].astype(float), atol=0.06)
    for name, genes in peer["Lead_genes"].str.split(";").items():
        assert set(table.loc[name, "leading_genes"]) == set(genes)


def test_scores_equal_a_loop_with_and_without_ties():
    scores, library = random_case(seed=3)
    for given in (scores, scores.round(), scores.clip(lower=0)):
        table = enrich_ranked({"a": given}, library, rng=np.random.default_rng(0), n_permutations=9)
        for row in table.itertuples():
            genes = set(library.sets[row.name][1])
            assert row.es == pytest.approx(score_by_loop(given, genes), abs=1e-12)
            assert row.set_size == len(genes & set(given.index))
            curve = running_enrichment(given, genes)["running_sum"].to_numpy()
            assert curve[np.abs(curve).argmax()] == pytest.approx(row.es, abs=1e-12)
        assert (table["universe"] == 300).all()
        np.testing.assert_allclose(table["q"], adjust(table["p"].to_numpy()))


def test_order_of_tied_genes_is_of_no_account():
    scores, library = random_case(seed=4)
    scores = scores.round()
    tables = [
        enrich_ranked({"a": given}, library, rng=np.random.default_rng(0), n_permutations=99)
        for given in (scores, scores[::-1], scores.sort_index())
    ]
    for table in tables[1:]:
        table["leading_genes"] = table["leading_genes"].map(sorted)
        tables[0]["leading_genes"] = tables[0]["leading_genes"].map(sorted)
        pd.testing.assert_frame_equal(table, tables[0])


def test_p_is_that_of_all_sets_of_a_size():
    scores = pd.Series([5.0, 3, 1, -2, -4, -6, -7], index=list("abcdefg"))
    library = library_of(top=["a", "b"], low=["f", "g"], mixed=["a", "g"])
    table = enrich_ranked(
        {"a": scores},
        library,
        rng=np.random.default_rng(0),
        n_permutations=20_000,
        min_size=2,
    ).set_index("name")
    pairs = [{x, y} for i, x in enumerate(scores.index) for y in scores.index[i + 1 :]]
    null = np.array([score_by_loop(scores, pair) for pair in pairs])
    for name, row in table.iterrows():
        assert row["es"] == pytest.approx(score_by_loop(scores, set(library.sets[name][1])))
        side = null[null * row["es"] > 0]
        exact = (np.abs(side) >= abs(row["es"]) - 1e-12).mean()
        assert row["p"] == pytest.approx(exact, abs=0.02)
        assert row["nes"] == pytest.approx(row["es"] / np.abs(side).mean(), rel=0.02)


def test_planted_sets_are_found_at_their_end_and_p_is_never_zero():
    scores, library = random_case(seed=5, n=1000)
    order = scores.sort_values(ascending=False).index
    library = library_of(
        **{name: genes for name, (_, genes) in library.sets.items()},
        top=order[:20],
        low=order[-20:],
    )
    table = enrich_ranked({"a": scores, "b": -scores}, library, rng=np.random.default_rng(0))
    assert list(dict.fromkeys(table["query"])) == ["a", "b"]
    found = table.set_index(["query", "name"])
    assert found.loc[("a", "top"), "leading_genes"] == list(order[:20])
    assert found.loc[("a", "low"), "leading_genes"] == list(order[-20:])
    assert found.loc[("b", "top"), "es"] == pytest.approx(-1)
    for query in "ab":
        for name in ("top", "low"):
            assert 1 / 1001 <= found.loc[(query, name), "p"] < 0.005
            assert found.loc[(query, name), "q"] < 0.05
    assert table["p"].min() > 0


def test_random_rankings_find_as_much_as_is_promised():
    _, library = random_case(seed=6, n_sets=40)
    rng = np.random.default_rng(7)
    names = [f"gene-{number}" for number in range(300)]
    rankings = {str(n): pd.Series(rng.normal(size=300), index=names) for n in range(50)}
    table = enrich_ranked(rankings, library, rng=rng, n_permutations=499)
    assert 0.03 < (table["p"] < 0.05).mean() < 0.07
    assert (table["q"] < 0.05).mean() < 0.01


def test_draws_are_those_of_the_seed_in_any_portion():
    scores, library = random_case()
    one, two = (
        enrich_ranked({"a": scores}, library, rng=np.random.default_rng(3), n_permutations=2500)
        for _ in range(2)
    )
    pd.testing.assert_frame_equal(one, two)
    assert one["p"].between(1 / 2501, 1).all()


def test_without_a_draw_on_its_side_a_set_has_no_normalised_score():
    scores, library = random_case()
    table = enrich_ranked({"a": scores}, library, rng=np.random.default_rng(0), n_permutations=1)
    assert set(table["p"]) == {0.5, 1.0}
    lonely = table["nes"].isna()
    assert 0 < lonely.sum() < len(table)
    assert (table.loc[lonely, "p"] == 1).all()


def test_set_of_genes_without_a_score_rises_evenly():
    scores = pd.Series([3.0, 2, 1, 0, 0, 0, -1, -2], index=list("abcdefgh"))
    library = library_of(zero=["d", "e"], other=["a", "h"])
    table = enrich_ranked({"a": scores}, library, rng=np.random.default_rng(0), min_size=2)
    row = table.set_index("name").loc["zero"]
    assert row["es"] == pytest.approx(score_by_loop(scores, {"d", "e"}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.mask(s.index == "gene-3"), "1 scores that are missing or not finite"),
        (lambda s: s.replace(s.iloc[0], np.inf), "not finite"),
        (lambda s: pd.concat([s, s.iloc[:1]]), "more than once, such as gene-0"),
        (lambda s: s.astype(str), "scores of the type object"),
        (lambda s: s * 0, "all have the same score"),
        (lambda s: s.iloc[:1], "1 genes"),
        (lambda s: s.rename(lambda name: name + "x"), "none are shared"),
    ],
)
def test_wrong_rankings_are_refused(change, message):
    scores, library = random_case()
    with pytest.raises(InputError, match=message):
        enrich_ranked({"a": change(scores)}, library, rng=np.random.default_rng(0))


def test_wrong_options_are_refused():
    scores, library = random_case()
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match=r"no set of toy has 200 to 299 genes.*largest has"):
        enrich_ranked({"a": scores}, library, rng=rng, min_size=200)
    for wrong in ({"n_permutations": 0}, {"weight": -1.0}, {"weight": float("nan")}):
        with pytest.raises(InputError, match="permutations and weight"):
            enrich_ranked({"a": scores}, library, rng=rng, **wrong)
    with pytest.raises(InputError, match="0 rankings"):
        enrich_ranked({}, library, rng=rng)
    with pytest.raises(InputError, match="0 of 300 ranked genes"):
        running_enrichment(scores, ["x"])


def test_reactome_is_ranked_within_seconds(data_dir):
    library = read_gmt(data_dir / "knowledge" / "genesets_reactome.gmt")
    genes = sorted({gene for _, members in library.sets.values() for gene in members})
    rng = np.random.default_rng(0)
    chosen = library.sets["REACTOME_INTERFERON_ALPHA_BETA_SIGNALING"][1]
    scores = pd.Series(rng.normal(size=len(genes)), index=genes)
    scores[list(chosen)] += 1.5
    table = enrich_ranked({"a": scores}, library, rng=rng)
    assert len(table) > 1500
    assert table["name"].head(3).str.contains("INTERFERON").any()
