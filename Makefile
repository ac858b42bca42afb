# Everything is installed into .venv in this folder; PYTHON names the interpreter to start from.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The checkout may have any name; mypy finds the package through a link of the right one.
TYPED := -m scypher -m scypher.cli -p scypher.encoders -p scypher.kg -p scypher.interpret
STAMP := $(VENV)/.installed

GRAPH_TESTS := tests/kg tests/test_neo4j_files.py

.PHONY: setup demo test test-graph test-others check docs clean

$(STAMP): pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed')"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[dev,docs]"
	touch $@

setup: $(STAMP)  ## install the package and its tools

demo: $(STAMP)  ## build graph and report of 700 blood cells in demo/
	$(BIN)/scypher demo --out demo

# One server that was given cannot serve both halves at once.
test: $(STAMP)  ## run the whole suite, doctests among it, in two processes
	$(MAKE) --jobs=$(if $(SCYPHER_NEO4J_URI),1,2) --output-sync=target --keep-going test-graph test-others

test-graph: $(STAMP)  ## graph and stores: mostly waiting for servers and killed processes
	$(BIN)/python -m pytest $(GRAPH_TESTS)

test-others: $(STAMP)
	$(BIN)/python -m pytest $(GRAPH_TESTS:%=--ignore=%)
	$(BIN)/python -m pytest -q --doctest-modules --pyargs scypher.encoders scypher.kg scypher.interpret

check: $(STAMP)  ## lint, format, types, docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	mkdir -p .cache/types && ln -sfn ../.. .cache/types/scypher
	MYPYPATH=.cache/types $(BIN)/mypy $(TYPED)
	$(MAKE) docs

docs: $(STAMP)  ## build the documentation, warnings are errors
	$(BIN)/python -m sphinx -W -q -b html docs docs/_build

clean:  ## remove what was built, not the environment
	rm -rf build demo docs/_build docs/generated .pytest_cache .mypy_cache .ruff_cache
