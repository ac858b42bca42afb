"""Files for users of Neo4j: they cover the schema and the queries, and Neo4j takes them."""

import importlib.util
import io
import re
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from neo4j_server.server import Server
from toy import toy_graph

from scypher.kg.queries import list_queries, load_query
from scypher.kg.schema import EDGES, NODES, edge_tables, edge_type, node_type
from scypher.kg.stores import open_store

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "neo4j"
HOW_TO = ROOT / "docs" / "how-to" / "neo4j.md"


def read_yaml(name: str) -> dict[str, Any]:
    yaml = pytest.importorskip("yaml", reason="PyYAML comes with the extra 'docs'")
    return dict(yaml.safe_load((FOLDER / name).read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def make() -> ModuleType:
    """The script that writes the files."""
    spec = importlib.util.spec_from_file_location("make_neo4j_files", FOLDER / "make.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_files_are_as_the_script_writes_them(make: ModuleType) -> None:
    for name, content in make.files().items():
        assert (FOLDER / name).read_bytes() == content, f"{name}: run python docs/neo4j/make.py"


def rules() -> dict[str, dict[str, str]]:
    """Return the rules of the style as Neo4j Browser reads them: no comments, quotes drop out."""
    text = (FOLDER / "style.grass").read_text(encoding="utf-8")
    found = re.findall(r'([\w.]+)\s*\{((?:"[^"]*"|[^"}])*)\}', text)
    return {
        selector: dict(
            (part.strip().replace('"', "") for part in line.split(":"))
            for line in body.split(";")
            if line.strip()
        )
        for selector, body in found
    }


def test_style_has_colour_size_and_caption_for_every_label_and_type() -> None:
    styles = rules()
    labels, types = {node.label for node in NODES}, {edge.type for edge in EDGES}
    assert set(styles) == {
        *("node", "relationship"),
        *(f"node.{label}" for label in labels),
        *(f"relationship.{type_}" for type_ in types),
    }
    for selector, style in styles.items():
        kind, _, name = selector.partition(".")
        assert re.fullmatch(r"#[0-9A-F]{6}", style["color"]), selector
        size = "diameter" if kind == "node" else "shaft-width"
        assert re.fullmatch(r"\d+px", style[size]), selector
        assert style["caption"], selector
        if kind == "node" and name:
            shown = style["caption"].strip("{}")
            assert shown in {item.name for item in node_type(name).properties}, selector
    colours = [styles[f"node.{label}"]["color"] for label in labels]
    assert len(set(colours)) == len(colours)


def test_style_has_nothing_that_browser_cannot_read() -> None:
    text = (FOLDER / "style.grass").read_text(encoding="utf-8")
    assert "/*" not in text
    assert "//" not in text
    assert text.count("{") == text.count("}")


def archive() -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO((FOLDER / "saved-queries.zip").read_bytes())) as found:
        return {name: found.read(name).decode() for name in found.namelist()}


def test_every_query_is_saved_with_its_question_and_parameters() -> None:
    saved = archive()
    assert set(saved) == {f"Scypher/{query.name}.cypher" for query in list_queries()}
    for query in list_queries():
        text = saved[f"Scypher/{query.name}.cypher"]
        assert text.splitlines()[0] == f"// {query.question}"
        assert re.findall(r"^//   :param (\w+) => ", text, re.MULTILINE) == [
            item.name for item in query.parameters
        ]
        code = [line for line in text.splitlines() if not line.startswith("//")]
        assert code == [
            line for line in query.text.rstrip().splitlines() if not line.startswith("//")
        ]


def test_saved_queries_run_on_a_server(neo4j_server: Server) -> None:
    from neo4j import GraphDatabase

    login = (neo4j_server.user, neo4j_server.password)
    with (
        open_store(neo4j_server.address, mode="w", user=login[0], password=login[1]) as store,
        GraphDatabase.driver(neo4j_server.address, auth=login) as driver,
    ):
        store.write(toy_graph(n_cells=4))
        try:
            for name, text in archive().items():
                # As Neo4j Browser does: the server evaluates what a parameter is set to.
                given = re.findall(r"^//   :param (\w+) => (.*)$", text, re.MULTILINE)
                returned = ", ".join(f"{value} AS {parameter}" for parameter, value in given)
                values = driver.execute_query(f"RETURN {returned or '1 AS one'}").records[0].data()
                found = driver.execute_query(text, values, database_="neo4j", routing_="r")
                columns = [item.name for item in load_query(Path(name).stem).columns]
                assert list(found.keys) == columns, name
        finally:
            store.remove("alpha")


def test_biocypher_maps_every_label_and_edge_table_with_all_properties(make: ModuleType) -> None:
    config = read_yaml("biocypher.yaml")
    assert config.pop("Title") == "Scypher"
    by_label = {entry["input_label"]: (name, entry) for name, entry in config.items()}
    assert len(by_label) == len(config)
    tables = ["-".join(key) for key in edge_tables()]
    assert set(by_label) == {*(node.label for node in NODES), *tables}
    for node in NODES:
        name, entry = by_label[node.label]
        assert entry["represented_as"] == "node"
        expected = {item.name: make.KINDS[item.kind] for item in node.properties[1:]}
        assert entry["properties"] == expected
        assert entry.get("is_a", name) in {under for _, under in make.BIOLINK.values()}
    for key in edge_tables():
        _, entry = by_label["-".join(key)]
        assert entry["represented_as"] == "edge"
        assert entry["label_as_edge"] == key[1]
        assert [entry["source"], entry["target"]] == [by_label[key[0]][0], by_label[key[2]][0]]
        expected = {item.name: make.KINDS[item.kind] for item in edge_type(*key).properties}
        assert entry.get("properties", {}) == expected
        assert entry["is_a"].endswith("association")


def test_compose_keeps_the_password_in_a_file_and_closes_what_readers_could_use() -> None:
    service = read_yaml("compose.yaml")["services"]["neo4j"]
    assert service["image"] == "neo4j:5.26-community"
    settings = service["environment"]
    assert settings.pop("NEO4J_AUTH_FILE") == "/run/secrets/neo4j_auth"
    assert service["secrets"] == ["neo4j_auth"]
    assert "NEO4J_AUTH" not in settings
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert {"test", "interval", "timeout", "retries"} <= set(service["healthcheck"])
    # In the image a dot is written _, and _ is written __.
    named = {
        name.removeprefix("NEO4J_").replace("__", "\0").replace("_", ".").replace("\0", "_"): value
        for name, value in settings.items()
    }
    conf = (ROOT / "tests" / "neo4j_server" / "neo4j.conf").read_text().splitlines()
    tested = dict(line.split("=", 1) for line in conf if line and not line.startswith("#"))
    for closed in (
        "dbms.security.allow_csv_import_from_file_urls",
        "internal.dbms.cypher_ip_blocklist",
    ):
        # The server of the tests starts with the same, which it would refuse if it knew them not.
        assert named[closed] == tested[closed]


def test_settings_of_compose_exist(neo4j_server: Server) -> None:
    from neo4j import GraphDatabase

    service = read_yaml("compose.yaml")["services"]["neo4j"]
    login = (neo4j_server.user, neo4j_server.password)
    with GraphDatabase.driver(neo4j_server.address, auth=login) as driver:
        rows = driver.execute_query("SHOW SETTINGS YIELD name RETURN name").records
    known = {"NEO4J_" + row["name"].replace("_", "__").replace(".", "_") for row in rows}
    given = {name for name in service["environment"] if not name.startswith("NEO4J_internal")}
    assert given - known == {"NEO4J_AUTH_FILE"}


def test_every_variable_is_described() -> None:
    text = HOW_TO.read_text(encoding="utf-8")
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "kg").rglob("*.py"))
    for name in set(re.findall(r"SCYPHER_NEO4J_\w+[A-Z]", code)):
        assert f"`{name}`" in text, name
    for path in FOLDER.iterdir():
        if path.suffix in (".grass", ".zip", ".yaml"):
            assert path.name in text, path.name


def test_recipes_hold_no_password() -> None:
    for path in [HOW_TO, *FOLDER.glob("*.yaml")]:
        text = path.read_text(encoding="utf-8")
        logins = re.findall(r"://[^/\s]*:[^/\s@]*@", text)
        assert set(logins) <= {"://user:password@"}, path.name  # the example of what is refused
        assert not re.search(r"PASSWORD=(?!\.\.\.|\$)\S", text), path.name
