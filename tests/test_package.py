"""The package as a whole: what it lists, what it imports, how its functions are called."""

import ast
import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import scypher

ROOT = Path(__file__).parents[1]
PARTS = ("kg", "encoders", "interpret")


def test_every_package_is_listed() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = set(config["tool"]["setuptools"]["packages"])
    found = {
        ".".join(("scypher", *init.parent.relative_to(ROOT).parts))
        for part in PARTS
        for init in (ROOT / part).rglob("__init__.py")
    }
    assert listed == found | {"scypher", "scypher.queries"}


def test_root_holds_no_stray_module() -> None:
    assert {path.name for path in ROOT.glob("*.py")} == {"__init__.py", "cli.py"}


def test_parts_import_only_what_stands_before_them() -> None:
    order = {"encoders": 0, "kg": 1, "interpret": 2}
    wrong = []
    for part, level in order.items():
        for path in (ROOT / part).rglob("*.py"):
            depth = len(path.relative_to(ROOT / part).parts)
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and node.level == depth + 1:
                    other = (node.module or "").split(".")[0]
                    if order.get(other, -1) > level:
                        wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} imports {other}")
    assert not wrong


@pytest.mark.parametrize("arguments", [["--help"], ["build", "--help"], ["queries"]])
def test_help_imports_no_heavy_library(arguments: list[str]) -> None:
    code = (
        "import sys; from scypher.cli import main\n"
        f"sys.argv = ['scypher', *{arguments!r}]\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'torch_geometric', 'scanpy', 'anndata', 'matplotlib', 'sklearn'}\n"
        "sys.stderr.write(' '.join(sorted(heavy & set(sys.modules))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stderr == ""
    assert done.stdout


def test_public_functions_take_options_by_keyword_and_say_what_they_do() -> None:
    for module in (scypher, scypher.encoders, scypher.kg, scypher.interpret):
        for name in module.__all__:
            item = getattr(module, name)
            if not inspect.isfunction(item):
                continue
            kinds = [parameter.kind for parameter in inspect.signature(item).parameters.values()]
            assert kinds.count(inspect.Parameter.POSITIONAL_OR_KEYWORD) <= 3, name
            text = inspect.getdoc(item) or ""
            # Sections of the numpy style; a getter without parameters needs none.
            assert "Parameters" in text or not kinds, name
