"""Graphs of real data, built once for all tests of this folder."""

from pathlib import Path

import pytest

from scypher.interpret.gene_sets.library import immune_textbook
from scypher.interpret.options import Options
from scypher.interpret.pipeline import build_tables
from scypher.kg import Graph


@pytest.fixture(scope="session")
def small_options() -> Options:
    """Options for the 700 blood cells."""
    return Options(gene_sets=(immune_textbook(),), faithfulness=False)


@pytest.fixture(scope="session")
def small_graph(data_dir: Path, small_options: Options) -> Graph:
    """Graph of 700 blood cells with 765 genes."""
    return build_tables(data_dir / "blood_pbmc68k_700.h5ad", options=small_options)


@pytest.fixture(scope="session")
def pbmc3k_graph(data_dir: Path) -> Graph:
    """Graph of 2,638 blood cells with Hallmark and Reactome sets."""
    knowledge = data_dir / "knowledge"
    sets = (knowledge / "genesets_hallmark.gmt", knowledge / "genesets_reactome.gmt")
    return build_tables(data_dir / "blood_pbmc3k.h5ad", options=Options(gene_sets=sets))
