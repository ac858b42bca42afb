"""The difference of two graphs: what it holds, and that it leads from one to the other."""

import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import toy_graph
from versions.edits import edited, randomly_edited, shuffled, with_table, without_nodes

from scypher.encoders.errors import InputError
from scypher.kg.graph import EdgeKey, Graph
from scypher.kg.schema import SCHEMA_VERSION, edge_type
from scypher.kg.versions.difference import Difference, compare

ALPHA, BETA = toy_graph("alpha", n_cells=12), toy_graph("beta", seed=2, n_cells=8)
BOTH = ALPHA.merge(BETA)
MARKED: EdgeKey = ("State", "MARKED_BY", "Gene")
EXPRESSED: EdgeKey = ("Cell", "EXPRESSES", "Gene")


def rows_of(graph: Graph, name: str) -> dict[tuple[object, ...], dict[str, object]]:
    """Return identity -> row of a table, by a short loop."""
    tables: dict[tuple[object, ...], dict[str, object]] = {}
    if "-" not in name:
        for row in graph.nodes.get(name, pd.DataFrame()).to_dict("records"):
            tables[(row["key"],)] = row
        return tables
    source, kind, target = name.split("-")
    key = (source, kind, target)
    if key in graph.edges:
        identity = ["source", "target", *edge_type(*key).identity]
        for row in graph.with_keys(key).to_dict("records"):
            tables[tuple(row[column] for column in identity)] = row
    return tables


def equal(first: dict[str, object], second: dict[str, object]) -> bool:
    return all(
        (value == second[name] and str(value) == str(second[name]))
        or (value != value and second[name] != second[name])
        for name, value in first.items()
    )


def check(old: Graph, new: Graph) -> Difference:
    """Return the difference after holding it against a loop and replaying it both ways."""
    found = compare(old, new)
    for name in {*old.tables(), *new.tables()}:
        first, second = rows_of(old, name), rows_of(new, name)
        table = found.tables.get(name)
        removed = len(set(first) - set(second))
        added = len(set(second) - set(first))
        changed = sum(not equal(first[key], second[key]) for key in set(first) & set(second))
        counts = (len(table.removed), len(table.added), len(table.before)) if table else (0, 0, 0)
        assert counts == (removed, added, changed), name
    assert found.apply(old).content_hash() == new.content_hash()
    assert found.inverse().apply(new).content_hash() == old.content_hash()
    return found


def test_a_graph_does_not_differ_from_itself_in_another_order() -> None:
    assert not check(BOTH, shuffled(BOTH, np.random.default_rng(0)))
    assert not compare(Graph(), Graph())


def test_known_edits_are_found_and_no_others() -> None:
    def edit(nodes: dict[str, pd.DataFrame], edges: dict[EdgeKey, pd.DataFrame]) -> None:
        nodes["Gene"].loc[0, "symbol"] = "CD79B"
        nodes["Gene"].at[2, "embedding"] = [1.0, 0.5, -1.0]
        edges[MARKED].loc[3, "auroc"] = np.nan
        edges[MARKED] = edges[MARKED].drop(index=5)

    found = check(ALPHA, edited(ALPHA, edit))
    assert found.counts().to_dict("records") == [
        {"table": "Gene", "removed": 0, "added": 0, "changed": 2},
        {"table": "State-MARKED_BY-Gene", "removed": 1, "added": 0, "changed": 1},
    ]
    gene = found.tables["Gene"]
    assert gene.before["symbol"].tolist() == ["CD79A", "CD3E"]
    assert gene.after["symbol"].tolist() == ["CD79B", "CD3E"]
    marked = found.tables["State-MARKED_BY-Gene"]
    assert marked.removed["source"].tolist() == ["alpha:S1"]
    assert marked.before["target"].tolist() == ["ENSG00000000003"]
    assert marked.after["auroc"].isna().all()


def test_data_sets_come_and_go() -> None:
    check(ALPHA, BOTH)
    check(BOTH, BETA)
    check(ALPHA, BETA)
    check(Graph(), ALPHA)
    check(ALPHA, Graph())


def test_zero_has_no_sign() -> None:
    cells = ALPHA.nodes["Cell"]
    zero = np.arange(len(cells)) == 0
    first, second = (
        with_table(ALPHA, "Cell", cells.assign(x=cells["x"].mask(zero, value)))
        for value in (0.0, -0.0)
    )
    assert first.content_hash() == second.content_hash()
    assert not compare(first, second)


def test_tables_without_rows_count() -> None:
    marked = ALPHA.edges[MARKED]
    empty = with_table(ALPHA, MARKED, marked.iloc[:0])
    without = with_table(ALPHA, MARKED, None)
    check(empty, without)
    assert compare(empty, without).lost == ("State-MARKED_BY-Gene",)
    check(without, empty)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_random_edits_are_replayed(seed: int) -> None:
    rng = np.random.default_rng(seed)
    old, new = (randomly_edited(BOTH, rng) for _ in range(2))
    check(old, new)


def test_it_survives_being_sent(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    for number in range(2):
        old, new = randomly_edited(BOTH, rng), randomly_edited(BOTH, rng)
        found = compare(old, new)
        found.write(tmp_path / str(number))
        back = Difference.read(tmp_path / str(number))
        assert back.counts().equals(found.counts())
        assert back.apply(old).content_hash() == new.content_hash()
        assert back.inverse().apply(new).content_hash() == old.content_hash()
    compare(old, old).write(tmp_path / "none")
    assert not Difference.read(tmp_path / "none")


def test_it_fits_only_the_graph_it_was_made_from() -> None:
    marked = ALPHA.edges[MARKED]
    changed = with_table(ALPHA, MARKED, marked.assign(auroc=0.5))
    found = compare(ALPHA, changed)
    other = with_table(ALPHA, MARKED, marked.assign(auroc=0.25))
    with pytest.raises(InputError, match="other values"):
        found.apply(other)
    with pytest.raises(InputError, match="lacks"):
        found.apply(with_table(ALPHA, MARKED, marked.iloc[1:]))
    with pytest.raises(InputError, match="lacks"):
        compare(BOTH, ALPHA).apply(ALPHA)
    gone = without_nodes(ALPHA, "Cell", np.arange(12) < 3)
    fewer = with_table(ALPHA, EXPRESSED, ALPHA.edges[EXPRESSED].iloc[:0])
    only = without_nodes(fewer, "Cell", np.arange(12) < 3)
    with pytest.raises(InputError, match="lead to a node"):
        compare(fewer, only).apply(ALPHA)
    with pytest.raises(InputError):
        compare(gone, ALPHA).apply(ALPHA)
    assert compare(gone, ALPHA).apply(gone).content_hash() == ALPHA.content_hash()


def test_damaged_and_newer_files_are_refused(tmp_path: Path) -> None:
    found = compare(ALPHA, BOTH)
    found.write(tmp_path / "d")
    with pytest.raises(InputError, match="there already"):
        found.write(tmp_path / "d")
    with pytest.raises(InputError, match="no whole difference"):
        Difference.read(tmp_path)
    path = tmp_path / "d" / "difference.json"
    text = path.read_text()
    path.write_text(json.dumps(json.loads(text) | {"schema": SCHEMA_VERSION + 1}))
    with pytest.raises(InputError, match="newer Scypher"):
        Difference.read(tmp_path / "d")
    path.write_text("{}")
    with pytest.raises(InputError, match="no whole difference"):
        Difference.read(tmp_path / "d")
    path.write_text(text)
    (tmp_path / "d" / "Cell.added.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="no whole difference"):
        Difference.read(tmp_path / "d")


def test_a_million_edges_take_seconds() -> None:
    rng = np.random.default_rng(0)
    n_cells, n_genes, each = 20_000, 2_000, 50
    cells = toy_graph("alpha", n_cells=n_cells).nodes["Cell"]
    genes = ALPHA.nodes["Gene"].iloc[np.zeros(n_genes, int)]
    genes = genes.assign(key=[f"g{number}" for number in range(n_genes)])
    gene = (rng.integers(n_genes, size=(n_cells, 1)) + np.arange(each)) % n_genes
    edges = pd.DataFrame(
        {
            "source": np.repeat(np.arange(n_cells), each),
            "target": gene.ravel(),
            "value": rng.random(n_cells * each),
            "rank": 1,
        }
    )
    nodes = {"Dataset": ALPHA.nodes["Dataset"], "Cell": cells, "Gene": genes}
    old = Graph(nodes, {EXPRESSED: edges})
    order = rng.permutation(len(edges))[:-1000]
    new = Graph(nodes, {EXPRESSED: edges.iloc[order].assign(rank=2 - (order % 1000 > 0))})
    started = time.process_time()
    found = compare(old, new)
    seconds = time.process_time() - started
    row = found.counts().iloc[0]
    assert row[["removed", "added"]].tolist() == [1000, 0]
    assert row["changed"] == (order % 1000 == 0).sum()
    assert seconds < 20
