"""A real graph, small enough to be asked everything."""

from functools import cache
from pathlib import Path

from scypher.interpret.gene_sets.library import immune_textbook
from scypher.interpret.options import Options
from scypher.interpret.pipeline import build_tables
from scypher.kg.graph import Graph


@cache
def real_graph(data_dir: Path) -> Graph:
    """Return the graph of 300 blood cells, drawn by a seed, and their 1,500 commonest genes."""
    import anndata
    import numpy as np

    cells = anndata.read_h5ad(data_dir / "blood_pbmc3k.h5ad")
    drawn = np.sort(np.random.default_rng(0).permutation(cells.n_obs)[:300])
    cells = cells[drawn].copy()
    detected = np.asarray((cells.X != 0).sum(axis=0)).ravel()
    common = np.sort(np.argsort(-detected, kind="stable")[:1500])
    options = Options(gene_sets=(immune_textbook(),), faithfulness=False, adapt=False)
    return build_tables(cells[:, common].copy(), name="pbmc", options=options)
