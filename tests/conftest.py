"""Fixtures shared by all tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from neo4j_server.server import NEWEST, Server, running_server

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of real data sets: SCYPHER_TEST_DATA, else `../shared/data` beside the checkout."""
    folder = Path(os.environ.get("SCYPHER_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "blood_pbmc3k.h5ad").exists():
        pytest.skip(f"no test data in {folder}; set SCYPHER_TEST_DATA to a folder that has them")
    return folder


@pytest.fixture(scope="session")
def neo4j_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running Neo4j of the version with long-term support."""
    with running_server(tmp_path_factory.mktemp("neo4j")) as server:
        yield server


@pytest.fixture(scope="session")
def newest_neo4j_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running Neo4j of the newest version."""
    with running_server(tmp_path_factory.mktemp("newest-neo4j"), version=NEWEST) as server:
        yield server
