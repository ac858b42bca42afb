"""Bulk import into a real Neo4j by its own tool, compared with the same graph over Bolt."""

from pathlib import Path

import pyarrow as pa
import pytest
from neo4j_content import expected, stored
from neo4j_server.server import Home, Server, new_home
from toy import toy_graph

from scypher.encoders.errors import InputError, StoreError
from scypher.kg.graph import Graph
from scypher.kg.stores import open_store
from scypher.kg.stores.neo4j import Neo4jStore
from scypher.kg.stores.neo4j_import import run_import, write_import_files

LISTS = [[""], ["a;b", 'q"x', "back\\slash", "new\nline", " sp "], ["", "x", ""], []]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A server that never ran."""
    return new_home(tmp_path_factory.mktemp("import"))


def odd_graph() -> Graph:
    """Return two data sets with text, lists and numbers that are hard to put into a file."""
    graph = toy_graph("alpha").merge(toy_graph("beta", seed=3, n_cells=10))
    nodes = {label: frame.copy() for label, frame in graph.nodes.items()}
    for row, items in enumerate(LISTS):
        nodes["State"].at[row, "label_set"] = items
    nodes["Gene"].at[2, "embedding"] = []
    nodes["Gene"].at[3, "embedding"] = [float("inf"), 1e-300, 0.1 + 0.2]
    nodes["Cell"].loc[0, "barcode"] = '"quoted", back\\slash\\ \t é 細胞'
    edges = dict(graph.edges)
    for label in ("Module", "State"):
        frame = edges[(label, "ENRICHED_IN", "GeneSet")].copy()
        for row, items in enumerate(LISTS):
            frame.at[row, "genes"] = items
        edges[(label, "ENRICHED_IN", "GeneSet")] = frame
    return Graph(nodes, edges)


def opened(server: Server) -> Neo4jStore:
    """Open a store there."""
    store = open_store(server.address, mode="w", user=server.user, password=server.password)
    assert isinstance(store, Neo4jStore)
    return store


def test_an_imported_graph_goes_on_over_bolt(home: Home, tmp_path: Path) -> None:
    graph = odd_graph()
    files = write_import_files(graph, tmp_path / "files (odd+name)")
    assert files.multiline
    assert files.delimiter == "|"
    assert "IMPORT DONE" in run_import(files, home.path)
    with pytest.raises(StoreError, match="a new database"):
        run_import(files, home.path)
    with home.started() as server:
        with opened(server) as store:
            half = graph.without("beta")
            with pytest.raises(StoreError, match="were expected"):
                store.adopt(half)
            assert store.adopt(graph).counts == graph.counts() == store.counts()
            with pytest.raises(InputError, match="has a graph with versions already"):
                store.adopt(graph)
            assert not store.write(graph).changed
        # The same as the graph says, which is what a write over Bolt is held against too.
        assert stored(server) == expected(graph)
        with opened(server) as store:
            assert store.versions()["action"].tolist() == ["import alpha, beta"]
            assert store.graph().content_hash() == graph.content_hash()
            assert store.remove("alpha")
        assert stored(server) == expected(graph.without("alpha"))
    with home.started(settings="server.databases.read_only=neo4j\n") as server:
        with pytest.raises(StoreError, match="read-only on its server"):
            opened(server)
        login = {"user": server.user, "password": server.password}
        with open_store(server.address, **login) as reader:
            assert reader.counts() == graph.without("alpha").counts()
            assert isinstance(reader, Neo4jStore)
            with pytest.raises(StoreError, match="read-only on its server"):
                reader._connection.write("CREATE (:Cell)")


def test_files_hold_what_is_in_the_graph(tmp_path: Path) -> None:
    graph = toy_graph(n_cells=5)
    files = write_import_files(graph, tmp_path / "files")
    header = (files.folder / "Cell-EXPRESSES-Gene-header.csv").read_text()
    assert header == ":START_ID(Cell),:END_ID(Gene),value:double,rank:long\n"
    key = ("Cell", "EXPRESSES", "Gene")
    lines = (files.folder / "Cell-EXPRESSES-Gene.csv").read_text().splitlines()
    rows = [line.split(",") for line in lines]
    frame = graph.edges[key]
    assert [(int(a), int(b), float(v), int(r)) for a, b, v, r in rows] == list(
        frame.itertuples(index=False, name=None)
    )
    # NaN is an empty field, empty text is not.
    lines = (files.folder / "Cell-ATTENDS_TO-Gene.csv").read_text().splitlines()
    absent = graph.edges[("Cell", "ATTENDS_TO", "Gene")]["graph"].isna().tolist()
    assert [line.endswith(",") for line in lines] == absent
    assert '""' in (files.folder / "Tissue.csv").read_text()


def test_what_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no data set"):
        write_import_files(Graph(), tmp_path / "none")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(InputError, match="new or an empty folder"):
        write_import_files(toy_graph(), tmp_path / "full")
    graph = toy_graph()
    graph.nodes["State"].at[0, "label_set"] = [";|\x1f\x1e\x1d"]
    with pytest.raises(InputError, match="Bolt instead"):
        write_import_files(graph, tmp_path / "delimiters")
    assert not (tmp_path / "delimiters").exists()
    files = write_import_files(toy_graph(), tmp_path / "files")
    with pytest.raises(InputError, match=r"no neo4j-admin in .*/bin"):
        run_import(files, tmp_path)
    monkeypatch.delenv("NEO4J_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="on the path"):
        run_import(files)


def test_a_bad_row_stops_the_import(home: Home, tmp_path: Path) -> None:
    graph = toy_graph(n_cells=5)
    files = write_import_files(graph, tmp_path / "files")
    with (files.folder / "State-PART_OF-State.csv").open("a") as handle:
        handle.write("77,0\n")
    with pytest.raises(StoreError, match="Error in input data"):
        run_import(files, home.path, overwrite=True)


def test_numbers_as_java_reads_them() -> None:
    from scypher.kg.stores.neo4j_csv import _as_java

    written = _as_java(pa.array(["inf", "-inf", "nan", "1e-300", None]))
    assert written.to_pylist() == ["Infinity", "-Infinity", "NaN", "1e-300", None]
