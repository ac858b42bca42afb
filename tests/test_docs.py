"""The documentation: it builds without a warning, and what it tells people to type exists."""

import ast
import dataclasses
import importlib.util
import inspect
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import typer

import scypher
from scypher.cli import app
from scypher.encoders import slots
from scypher.interpret import Options
from scypher.kg.queries import list_queries, load_query, parse_parameters, parse_query
from scypher.kg.schema import EDGES, NODES

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
CARD = ROOT / "encoders" / "cellvq" / "mini" / "README.md"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(
        path
        for path in DOCS.rglob("*.md")
        if "_build" not in path.parts and "generated" not in path.parts
    ),
]
BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


class Text(HTMLParser):
    """What a reader sees of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.feed(html)

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def __str__(self) -> str:
        return "".join(self.words)


def blocks(language: str) -> list[tuple[str, str]]:
    """Return (page, text) of the code blocks of a language on all pages."""
    return [
        (str(page.relative_to(ROOT)), block[3])
        for page in PAGES
        for block in BLOCK.finditer(page.read_text(encoding="utf-8"))
        if block[2] == language
    ]


def commands(program: str) -> Iterator[tuple[str, list[str]]]:
    """Return (page, arguments) of the commands that start with a program."""
    for page, text in blocks("console"):
        for line in text.splitlines():
            words = shlex.split(line.strip().removeprefix("$ "))
            if words[0] == program:
                yield page, words[1:]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation as HTML."""
    for name in ("sphinx", "myst_parser", "sphinx_book_theme"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed; the extra 'docs' has it")
    out = tmp_path_factory.mktemp("docs")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"),
            *("-d", str(out / "cache"), str(DOCS), str(out / "html")),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return out / "html"


def page(built: Path, name: str) -> str:
    return str(Text((built / f"{name}.html").read_text(encoding="utf-8")))


def test_every_query_is_on_its_page_with_parameters_and_columns(built: Path) -> None:
    text = page(built, "queries")
    for query in list_queries():
        assert query.question in text
        assert f"scypher query {query.name} " in text
        for item in (*query.parameters, *query.columns):
            assert item.name in text
            assert item.doc in text, (query.name, item.name)


def test_every_node_and_edge_is_on_the_page_of_the_schema(built: Path) -> None:
    text = page(built, "schema")
    for declared in (*NODES, *EDGES):
        assert declared.doc in text
        for item in declared.properties:
            assert item.name in text
            assert item.doc.replace("`", "") in text
    headings = re.findall(r"<h3>(\w+)", (built / "schema.html").read_text(encoding="utf-8"))
    assert set(headings) == {node.label for node in NODES} | {edge.type for edge in EDGES}


def test_every_slot_is_on_its_page(built: Path) -> None:
    text = page(built, "slots")
    for _, slot in inspect.getmembers(slots, inspect.isfunction):
        assert slot("NAME") in text


def test_every_public_function_is_in_the_reference(built: Path) -> None:
    text = (built / "api.html").read_text(encoding="utf-8")
    for name in ("encode", "build", "query", "report"):
        assert f'id="scypher.{name}"' in text
    for module in (scypher.encoders, scypher.kg, scypher.interpret):
        for name in module.__all__:
            assert f"{name}</span>" in text, f"{module.__name__}.{name}"


def test_llms_txt_leads_to_pages_that_exist(built: Path) -> None:
    links = re.findall(r"\]\((\S+)\)", (built / "llms.txt").read_text(encoding="utf-8"))
    assert links
    assert not [link for link in links if not (built / link).is_file()]


def test_commands_use_verbs_and_options_that_exist() -> None:
    verbs = typer.main.get_command(app).commands
    seen = set()
    for where, words in commands("scypher"):
        verb, *arguments = words
        assert verb in verbs, (where, words)
        # Parsing checks names, number and type of everything; nothing runs.
        context = verbs[verb].make_context(verb, arguments)
        seen.add(verb)
        if verb != "query":
            continue
        name = context.params["name"]
        if not name.endswith(".cypher"):
            parse_parameters(load_query(name), context.params["param"] or [])
    assert seen == set(verbs)


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {target for _, words in commands("make") for target in words}
    assert named
    assert named <= targets


def test_cypher_files_on_the_pages_are_query_files() -> None:
    found = [parse_query(text, where) for where, text in blocks("cypher")]
    assert found
    for query in found:
        assert query.question
        assert query.columns


def test_python_on_the_pages_calls_what_exists() -> None:
    found = blocks("python")
    assert found
    options = {field.name for field in dataclasses.fields(Options)}
    for where, text in found:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(str(node.module))
                assert not [item for item in node.names if not hasattr(module, item.name)], where
            if not isinstance(node, ast.Call):
                continue
            given = {keyword.arg for keyword in node.keywords}
            called = ast.unparse(node.func)
            if called == "Options":
                assert given <= options, (where, given)
            if called.startswith("scypher."):
                function = getattr(scypher, called.removeprefix("scypher."))
                known = set(inspect.signature(function).parameters)
                known |= options if called == "scypher.build" else set()
                if called == "scypher.query":
                    asked = load_query(ast.literal_eval(node.args[0]))
                    known |= {item.name for item in asked.parameters}
                assert given <= known, (where, called, given - known)


@pytest.mark.parametrize("path", [*PAGES, CARD], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_named_on_a_page_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    folders = r"docs|encoders|kg|interpret|queries|tests"
    named = re.findall(rf"`((?:{folders})/[\w./-]+\.\w+|[A-Z]+\.md)`", text)
    assert not [name for name in named if not (ROOT / name).exists()]
    assert all(line.isprintable() or not line for line in text.splitlines())
