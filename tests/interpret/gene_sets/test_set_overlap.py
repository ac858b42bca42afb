import numpy as np
import pandas as pd
import pytest

from scypher.encoders.errors import InputError
from scypher.interpret.gene_sets.library import GeneSetLibrary
from scypher.interpret.gene_sets.overlap import representative_sets

UNIVERSE = [f"g{number}" for number in range(100)]


def library_of(name="toy", **sets):
    return GeneSetLibrary(name, "0" * 12, {one: ("", tuple(g)) for one, g in sets.items()})


def table_of(**p):
    p = pd.Series(p)
    return pd.DataFrame({"query": "a", "name": p.index, "p": p.to_numpy(), "q": p.to_numpy()})


def test_similar_sets_join_the_best():
    library = library_of(
        large=[*UNIVERSE[:20], "unmeasured"],
        alike=UNIVERSE[:18],
        part=UNIVERSE[:5],
        other=UNIVERSE[50:60],
        missed=UNIVERSE[50:61],
    )
    table = table_of(other=0.01, large=0.001, alike=0.002, part=0.003, missed=0.2)
    found = representative_sets(table, library, UNIVERSE).set_index("name")
    assert found.index.tolist() == ["large", "alike", "part", "other"]
    assert found["representative"].tolist() == ["large", "large", "part", "other"]
    assert found["similarity"].tolist() == [1, 0.9, 1, 1]
    assert found["is_representative"].tolist() == [1, 0, 1, 1]
    joined = representative_sets(table, library, UNIVERSE, measure="overlap").set_index("name")
    assert joined.loc["part", ["representative", "similarity"]].tolist() == ["large", 1]


def groups_by_loop(table, sets, threshold):
    """Return the representative of each set, down the table by p and name."""
    chosen = {}
    for query in dict.fromkeys(table["query"]):
        rows = table[(table["query"] == query) & (table["q"] <= 0.05)].sort_values(["p", "name"])
        leaders = []
        for name in rows["name"]:
            similar = [
                (len(sets[name] & sets[one]) / len(sets[name] | sets[one]), -place, one)
                for place, one in enumerate(leaders)
            ]
            best = max(similar, default=(0, 0, ""))
            if best[0] >= threshold:
                chosen[query, name] = (best[2], best[0])
            else:
                leaders.append(name)
                chosen[query, name] = (name, 1.0)
    return chosen


@pytest.mark.parametrize("threshold", [0.1, 0.3, 1.0])
def test_groups_equal_a_loop_in_any_order_of_rows(threshold):
    rng = np.random.default_rng(0)
    sets = {f"s{n}": set(rng.choice(UNIVERSE[:40], 15, replace=False)) for n in range(60)}
    rows = [
        (query, name, p) for query in "ba" for name, p in zip(sets, rng.random(60), strict=True)
    ]
    table = pd.DataFrame(rows, columns=["query", "name", "p"]).assign(
        p=lambda t: (t["p"] / 8).round(2), q=lambda t: t["p"]
    )
    library = library_of(**{name: sorted(genes) for name, genes in sets.items()})
    found = representative_sets(table, library, UNIVERSE, threshold=threshold)
    expected = groups_by_loop(table, sets, threshold)
    assert len(found) == len(expected)
    for row in found.itertuples():
        name, similarity = expected[row.query, row.name]
        assert (row.representative, row.similarity) == (name, pytest.approx(similarity))
    best = found.groupby(["query", "representative"])["p"].min()
    own = found[found["is_representative"] == 1].set_index(["query", "name"])["p"]
    assert own.to_dict() == best.to_dict()
    mixed = table.sample(frac=1, random_state=1).sort_values("query", ascending=False)
    again = representative_sets(mixed, library, UNIVERSE, threshold=threshold)
    pd.testing.assert_frame_equal(again, found)


def test_sets_of_several_libraries_are_told_apart():
    libraries = [library_of("one", x=UNIVERSE[:9]), library_of("two", x=UNIVERSE[:10])]
    table = table_of(x=0.01).assign(library="one")
    table = pd.concat([table, table.assign(library="two", p=0.001)], ignore_index=True)
    found = representative_sets(table, libraries, UNIVERSE)
    assert found["library"].tolist() == ["two", "one"]
    assert found["representative_library"].tolist() == ["two", "two"]
    assert found["similarity"].tolist() == [1, 0.9]


def test_nothing_significant_gives_no_rows():
    found = representative_sets(table_of(x=0.5), library_of(x=UNIVERSE[:9]), UNIVERSE)
    assert found.empty
    assert found.columns.tolist()[-1] == "is_representative"


def test_wrong_input_is_refused():
    library, table = library_of(x=UNIVERSE[:9]), table_of(x=0.01)
    with pytest.raises(InputError, match="a table without q was given"):
        representative_sets(table.drop(columns="q"), library, UNIVERSE)
    with pytest.raises(InputError, match="sets such as y, which the library lacks"):
        representative_sets(table_of(y=0.01), library, UNIVERSE)
    with pytest.raises(InputError, match=r"threshold 0\.0"):
        representative_sets(table, library, UNIVERSE, threshold=0.0)
    with pytest.raises(InputError, match="measure 'cosine'"):
        representative_sets(table, library, UNIVERSE, measure="cosine")
    with pytest.raises(InputError, match="2 libraries"):
        representative_sets(table, [library, library], UNIVERSE)
