"""The report: one page, everything from the graph, nothing from outside."""

import dataclasses
import json
import os
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from toy import toy_graph  # needs the path above

from scypher.encoders.errors import InputError
from scypher.interpret.report import write_report
from scypher.interpret.report.cell_map import RASTER_FROM, cell_map
from scypher.interpret.report.formats import (
    UNKNOWN,
    breakable,
    count,
    integer,
    listed,
    name,
    number,
    p_value,
    percent,
)
from scypher.interpret.report.quality import comparisons, measures
from scypher.kg.graph import Graph
from scypher.kg.queries import run_query
from scypher.kg.stores import Store, open_store

HOSTILE = "<script>alert('x')</script>"
SECTIONS = [
    "asked",
    "baselines",
    "faithful",
    "map",
    "states",
    "markers",
    "modules",
    "signals",
    "changes",
    "provenance",
    "limits",
]
VOID = {"meta", "br", "wbr", "img", "link", "input", "hr"}
LOADING = {"script", "link", "iframe", "object", "embed", "audio", "video", "base", "form"}


class Page(HTMLParser):
    """What a browser would find: elements in order, texts, tables, and unbalanced tags."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.problems: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        self.problems += self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.problems.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if "td" in self._open or ("th" in self._open and "table" in self._open):
            self.tables[-1][-1][-1] += data

    def ids(self) -> list[str]:
        """Return every id."""
        return [attrs["id"] for _, attrs in self.tags if "id" in attrs]

    def table(self, *head: str) -> list[list[str]]:
        """Return the rows of the first table whose head starts so."""
        return self.all_tables(*head)[0]

    def all_tables(self, *head: str) -> list[list[list[str]]]:
        """Return the rows of every table whose head starts so."""
        return [rows[1:] for rows in self.tables if rows[0][: len(head)] == list(head)]


Saver = Callable[[Graph], Store]


@pytest.fixture
def save(tmp_path: Path) -> Iterator[Saver]:
    """A function that writes a graph to a store and returns it open."""
    stores = []

    def write(graph: Graph) -> Store:
        store = open_store(tmp_path / "toy.kg", mode="w")
        stores.append(store)
        store.write(graph)
        return store

    yield write
    for store in stores:
        store.close()


@pytest.fixture(scope="module")
def toy_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with the toy graph, for tests that write nothing to it."""
    with open_store(tmp_path_factory.mktemp("report") / "toy.kg", mode="w") as store:
        store.write(toy_graph())
        yield store


def with_dataset(graph: Graph, **values: Any) -> Graph:
    """Return the graph with other properties of its data set."""
    dataset = graph.nodes["Dataset"].assign(**values)
    return Graph(graph.nodes | {"Dataset": dataset}, graph.edges)


def without(graph: Graph, *tables: str) -> Graph:
    """Return the graph without node labels, or edge types, and the edges at them."""
    nodes = {label: frame for label, frame in graph.nodes.items() if label not in tables}
    edges = {key: frame for key, frame in graph.edges.items() if not set(key) & set(tables)}
    return Graph(nodes, edges)


def read(path: Path) -> Page:
    page = Page(path.read_text(encoding="utf-8"))
    assert page.problems == []
    return page


def test_page_is_whole_and_stands_alone(toy_store: Store, tmp_path: Path) -> None:
    path = write_report(toy_store, tmp_path / "report.html", asked="scypher build toy.h5ad")
    assert path == tmp_path / "report.html"
    assert sorted(item.name for item in tmp_path.iterdir() if item.is_file()) == ["report.html"]
    text, page = path.read_text(encoding="utf-8"), read(path)
    assert [attrs["id"] for tag, attrs in page.tags if tag == "section"] == SECTIONS
    assert len(page.ids()) == len(set(page.ids()))
    targets = [attrs["href"] for tag, attrs in page.tags if tag == "a"]
    assert targets == [f"#{anchor}" for anchor in SECTIONS]
    assert not LOADING & {tag for tag, _ in page.tags}
    assert not re.search(r"https?://|//[a-z]+\.|@import|xmlns", text)
    references = re.findall(r'(?:href|src)="([^"]*)"', text) + re.findall(r"url\(([^)]*)\)", text)
    local = {f"#{anchor}" for anchor in page.ids()}
    inside = "data:image/png;base64,"
    assert [one for one in references if one not in local and not one.startswith(inside)] == []
    figures = [attrs for tag, attrs in page.tags if tag == "svg"]
    assert figures
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in figures)
    assert "scypher build toy.h5ad" in "".join(page.text)
    assert "one note" in "".join(page.text)


def test_equal_graphs_give_equal_bytes_whatever_the_style_of_the_caller(
    toy_store: Store, tmp_path: Path
) -> None:
    first = write_report(toy_store, tmp_path / "first.html").read_bytes()
    with mpl.rc_context({"font.size": 30.0, "axes.facecolor": "red", "svg.hashsalt": "other"}):
        second = write_report(toy_store, tmp_path / "second.html").read_bytes()
    assert first == second


def test_numbers_are_those_of_the_queries(toy_store: Store, tmp_path: Path) -> None:
    page = read(write_report(toy_store, tmp_path / "report.html", markers_limit=4))
    tables = page.all_tables("Rank", "Gene", "Verdict")
    labels = run_query(toy_store, "cell_map", dataset="alpha")["label"].value_counts()
    groups = [*sorted(labels.index, key=lambda one: (-labels[one], one)), "alpha:S1", "alpha:S2"]
    assert len(tables) == len(groups)
    for group, table in zip(groups, tables, strict=True):
        rows = run_query(toy_store, "markers", group=group, limit=4, dataset="alpha")
        assert len(table) == len(rows) == 4
        for cells, row in zip(table, rows.to_dict("records"), strict=True):
            assert cells == [
                str(row["rank"]),
                row["symbol"],
                row["verdict"].replace("_", " "),
                f"{row['auroc']:.3f}",
                f"{row['log2_fold_change']:.2f}",
                f"{100 * row['detected_in']:.0f}%",
                f"{100 * row['detected_out']:.0f}%",
                "<1e-300",
                f"{row['attention_lift']:.2f}",
                f"{row['attention_z']:.1f}",
                "0.010",
                "2 of 2",
            ]
    states = page.table("State", "Level", "Cells")
    assert [row[0] for row in states] == ["S1", "S1.1", "S1.2", "S2"]
    assert states[0][2:7] == ["12", "B cells", "75%", "0.90", "2"]
    assert [row[3] for row in states[1:3]] == ["B cells ambiguous", "B cells abstain"]
    counts = {row[1]: int(row[2].replace(",", "")) for row in page.table("Kind", "Table")}
    assert counts == toy_store.counts()
    modules = run_query(toy_store, "modules", dataset="alpha")["module"]
    sets = page.all_tables("Gene set", "Library")[len(groups) + list(modules).index("alpha:M2")]
    found = run_query(toy_store, "module_enrichment", module="alpha:M2", limit=3)
    assert [row[0] for row in sets] == list(found["gene_set"])
    assert [row[5] for row in sets] == ["<1e-300"] * len(found)


def test_signals_and_regulators_are_those_of_the_queries(toy_store: Store, tmp_path: Path) -> None:
    page = read(write_report(toy_store, tmp_path / "report.html"))
    signals = run_query(toy_store, "pair_communication", dataset="alpha")
    table = page.table("From", "To", "Ligand", "Receptor", "Verdict")
    assert [row[2:5] for row in table] == [
        [row.ligand, row.receptor, row.verdict.replace("_", " ")] for row in signals.itertuples()
    ]
    factors = run_query(toy_store, "regulators", dataset="alpha")
    table = page.table("Factor", "Resource")
    assert [(row[0], *map(int, row[3:7])) for row in table] == [
        (row.symbol, row.n_targets, row.n_correlated, row.n_agreeing, row.n_contrary)
        for row in factors.itertuples()
    ]
    text = " ".join("".join(page.text).split())
    modules = run_query(toy_store, "modules", dataset="alpha")
    beyond = int((modules["null_q"] < 0.05).sum())
    assert f"{beyond} of them do so more than random genes of like expression" in text
    n = int((signals["verdict"] == "supported").sum())
    assert f"between states {n} {'is' if n == 1 else 'are'} supported" in text


def test_rankings_side_by_side(save: Saver, tmp_path: Path) -> None:
    graph = toy_graph()
    key = ("CellType", "MARKED_BY", "Gene")
    frame = graph.edges[key].copy()
    # Of the first label the first gene is attention's alone, the second expression's alone.
    first = frame["source"] == 0
    frame.loc[first & (frame["rank"] == 1), ["attention_rank", "expression_rank"]] = [1, 99]
    frame.loc[first & (frame["rank"] == 2), ["attention_rank", "expression_rank"]] = [99, 1]
    frame.loc[first & (frame["rank"] > 2), ["attention_rank"]] += 1
    frame.loc[first & (frame["rank"] > 2), "attention_rank"] = range(2, 10)
    frame.loc[first & (frame["rank"] > 2), "expression_rank"] = range(2, 10)
    store = save(Graph(graph.nodes, graph.edges | {key: frame}))
    path = write_report(store, tmp_path / "report.html")
    label = graph.nodes["CellType"]["label"][0]
    rows = run_query(store, "marker_baselines", group=label, dataset="alpha")
    symbols = [rows.set_index(column)["symbol"] for column in ("rank", "attention_rank")]
    page = read(path)
    captions = re.findall(r'<table class="ranking">\s*<caption>(.*?)</caption>', path.read_text())
    table = page.all_tables("#", "Consensus", "Attention", "Expression")[captions.index(label)]
    assert table[0] == ["1", symbols[0][1], symbols[1][1], symbols[0][2]]
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"<mark><i class=\"gene\">(\w+)</i></mark>", text)[:2] == [
        symbols[0][1],
        symbols[0][2],
    ]


def test_hostile_names_are_text(save: Saver, tmp_path: Path) -> None:
    graph = toy_graph()
    nodes = dict(graph.nodes)
    for label, column in (("GeneSet", "name"), ("CellType", "label"), ("Gene", "symbol")):
        values = nodes[label][column].tolist()
        values[0] = HOSTILE + ' " onload="x" id="y" $a_{b}$ \x07 日本'
        nodes[label] = nodes[label].assign(**{column: values})
    hostile = with_dataset(
        Graph(nodes, graph.edges),
        source=HOSTILE,
        encoder=HOSTILE,
        notes=json.dumps([HOSTILE, 3]),
        parameters=json.dumps({HOSTILE: {"a": HOSTILE}}),
        quality=json.dumps({HOSTILE: HOSTILE}),
    )
    path = write_report(save(hostile), tmp_path / "report.html", asked=HOSTILE)
    page = read(path)
    assert "<script" not in path.read_text(encoding="utf-8").lower()
    assert not any("onload" in attrs for _, attrs in page.tags)
    # asked, file, encoder, notes, parameters twice, quality twice, and names of sets and genes
    assert "".join(page.text).count(HOSTILE) >= 8


@pytest.mark.parametrize(
    "missing",
    [
        ("Module",),
        ("ENRICHED_IN", "GeneSet"),
        ("CellType",),
        ("State",),
        ("MARKED_BY",),
        ("COMMUNICATES_WITH", "REGULATES"),
        ("Donor",),
        ("CellType", "State", "Module", "GeneSet", "Donor"),
    ],
    ids="-".join,
)
def test_what_is_missing_is_said(save: Saver, tmp_path: Path, missing: tuple[str, ...]) -> None:
    store = save(without(toy_graph(), *missing))
    page = read(write_report(store, tmp_path / "report.html"))
    text = " ".join("".join(page.text).split())
    assert [attrs["id"] for tag, attrs in page.tags if tag == "section"] == SECTIONS
    expected = {
        "Module": "holds no modules",
        "ENRICHED_IN": "--gene-sets FILE.gmt",
        "CellType": "carry no cell type labels",
        "State": "holds no states",
        "MARKED_BY": "holds no markers",
        "COMMUNICATES_WITH": "--ligand-receptor FILE.tsv",
        "REGULATES": "--regulons FILE.tsv",
        "Donor": "Donors are unknown: p values rank genes",
    }
    for one in missing:
        assert expected.get(one, "") in text


def test_one_donor_is_no_replicate(save: Saver, tmp_path: Path) -> None:
    graph = toy_graph()
    key = ("Cell", "FROM_DONOR", "Donor")
    same = Graph(graph.nodes, graph.edges | {key: graph.edges[key].assign(target=0)})
    store = save(same)
    text = "".join(read(write_report(store, tmp_path / "report.html")).text)
    assert "All cells come from one donor: p values rank genes" in text
    assert "p and q values of state markers are therefore optimistic" in text


def test_limits_of_length_are_said(toy_store: Store, tmp_path: Path) -> None:
    page = read(write_report(toy_store, tmp_path / "report.html", groups_limit=1, markers_limit=2))
    text = "".join(page.text)
    assert "2 smaller cell types are in the graph but not shown here" in text
    assert "1 smaller states are in the graph" in text
    assert "1 smaller modules are in the graph" in text
    assert [len(rows) for rows in page.all_tables("Rank", "Gene", "Verdict")] == [2, 2]


def test_data_set_must_be_clear(save: Saver, tmp_path: Path) -> None:
    store = save(toy_graph("alpha").merge(toy_graph("beta")))
    out = tmp_path / "report.html"
    with pytest.raises(InputError, match=r"2 data sets \(alpha, beta\)"):
        write_report(store, out)
    with pytest.raises(InputError, match="'gamma' was asked for"):
        write_report(store, out, dataset="gamma")
    page = read(write_report(store, out, dataset="beta"))
    assert "alpha.h5ad" not in "".join(page.text)
    assert [row[2] for row in page.table("State", "Level")] == ["12", "6", "6", "12"]


def test_bad_places_and_limits(toy_store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder"):
        write_report(toy_store, tmp_path / "nowhere" / "report.html")
    with pytest.raises(InputError, match="is a folder"):
        write_report(toy_store, tmp_path)
    too_low: list[dict[str, Any]] = [{"groups_limit": 0}, {"markers_limit": -1}]
    for limits in too_low:
        with pytest.raises(InputError, match="at least 1"):
            write_report(toy_store, tmp_path / "report.html", **limits)


def test_old_page_survives_a_failure(
    toy_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "report.html"
    out.write_text("old")
    out.chmod(0o640)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="No space"):
            write_report(toy_store, out)
    assert out.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir() if item.is_file()] == ["report.html"]
    write_report(toy_store, out)
    assert out.stat().st_mode & 0o777 == 0o640


def test_quality_says_who_wins() -> None:
    found = comparisons(
        {
            "nmi_states_labels": 0.6,
            "nmi_leiden_pca_labels": 0.8,
            "silhouette_embedding_labels": 0.301,
            "silhouette_pca_labels": 0.3,
            "graph_attention_auroc": 0.9,
        }
    )
    assert [one.verdict for one in found] == ["worse", "equal", "alone"]
    assert found[0].words == "The baseline wins by 0.20."
    assert "plain clustering serves better" in found[0].advice
    assert found[1].advice == ""
    better = dataclasses.replace(found[0], ours=0.9)
    assert better.words == "The model is ahead by 0.10."
    assert comparisons({"nmi_states_labels": None, "codes_active": 3}) == []
    named = measures(
        {"codes_active": 60, "codes_total": 512, "marker_overlap_at_10": 0.25, "x": [1]}
    )
    assert [one.value for one in named] == ["60 of 512", "0.25", "[1]"]


@pytest.mark.parametrize(
    "values",
    [
        {"quality": "", "parameters": "not JSON", "notes": "{}"},
        {"quality": '{"nmi_states_labels": 0.2, "nmi_leiden_pca_labels": 0.7}'},
    ],
)
def test_json_of_the_data_set(save: Saver, tmp_path: Path, values: dict[str, str]) -> None:
    store = save(with_dataset(toy_graph(), **values))
    text = " ".join("".join(read(write_report(store, tmp_path / "report.html")).text).split())
    if "notes" in values:
        assert "The run left no notes." in text
        assert "The run left no parameters." in text
    else:
        assert "behind in 1: the simpler method wins at «Do the states follow the labels?»" in text
        assert "The baseline wins by 0.50." in text


def test_many_cells_become_one_picture() -> None:
    rng = np.random.default_rng(0)
    n = RASTER_FROM + 11
    cells = pd.DataFrame({"x": rng.normal(size=n), "y": rng.normal(size=n), "state": "S1"})
    cells.loc[:9, "x"] = np.nan
    groups = [("S1", "S1", "B cells")]
    few = cell_map(cells[:100], "state", groups, key="few", what="state")
    many = cell_map(cells, "state", groups, key="many", what="state")
    assert (few.count("<use"), few.count("<image")) == (90 + 1, 0)
    assert (many.count("<use"), many.count("<image")) == (1, 1)
    assert len(many) < 300_000
    assert f"Map of {n - 10:,} cells" in many


def test_real_cells(small_graph: Graph, save: Saver, tmp_path: Path) -> None:
    path = write_report(save(small_graph), tmp_path / "report.html")
    page = read(path)
    assert path.stat().st_size < 3_000_000
    labels = small_graph.nodes["CellType"]["label"]
    best = {row[0]: row[2].split(", ") for row in page.table("Cell type", "Cells")}
    assert sorted(best) == sorted(labels)
    markers = small_graph.with_keys(("CellType", "MARKED_BY", "Gene"))
    symbol = small_graph.nodes["Gene"].set_index("key")["symbol"]
    key = small_graph.nodes["CellType"].set_index("label")["key"]
    for label, genes in best.items():
        own = markers[markers["source"] == key[label]].sort_values("rank")
        assert genes == list(symbol[own["target"][:5]])
    n_cells = int(small_graph.nodes["Dataset"]["n_cells"][0])
    assert sum(int(row[1]) for row in page.table("Cell type", "Cells")) == n_cells


def test_formats() -> None:
    assert [p_value(p) for p in (1.0, 0.05, 0.001, 9.9e-4, 1.2e-10, 2e-308, float("nan"))] == [
        "1.000",
        "0.050",
        "0.001",
        "9.9e-04",
        "1.2e-10",
        "<1e-300",
        UNKNOWN,
    ]
    assert [number(v) for v in (1.234, -0.001, float("inf"), float("nan"))] == [
        "1.23",
        "0.00",
        "∞",
        UNKNOWN,
    ]
    assert [percent(v) for v in (0.0, 0.001, 0.126, 1.0)] == ["0%", "<1%", "13%", "100%"]
    assert [integer(v) for v in (2638, pd.NA)] == ["2,638", UNKNOWN]
    assert [count(1, "cell"), count(2638, "cell")] == ["1 cell", "2,638 cells"]
    assert [listed([]), listed(["a"]), listed(["a", "b", "c"])] == ["", "a", "a, b and c"]
    assert breakable("a_<b>") == "a_<wbr>&lt;b&gt;"
    assert name("a\n b\x00c") == "a b c"
    assert len(name("x" * 99)) == 44
