"""From real counts through the shipped encoder: doublets are refused, a transition is not."""

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from scypher.encoders.cells import prepare
from scypher.encoders.registry import get_encoder
from scypher.interpret.intermediate import intermediate_states, monotone_genes
from scypher.kg.neighbours import find_neighbours
from scypher.kg.states import find_states

TYPES = ("B", "CD14+ monocyte", "CD8 T")
PLANTED = 80


def thin(counts, share, rng):
    part = counts.copy()
    share = np.repeat(share, np.diff(part.indptr))
    part.data = rng.binomial(part.data.astype(np.int64), share).astype(np.float32)
    return part


def planted(data, *, doublets):
    """Return B cells, monocytes and T cells, with doublets or a transition of the first two.

    Cells of the transition switch twenty rare genes on half-way.
    """
    rng = np.random.default_rng(0)
    kind = data.obs["cell_type"].astype(str).to_numpy()
    groups = [rng.permutation(np.flatnonzero(kind == one)) for one in TYPES]
    counts = sp.csr_matrix(data.X, dtype=np.float32)
    first, second = (counts[group[:PLANTED]] for group in groups[:2])
    if not doublets:
        t = rng.random(PLANTED)
        depth = np.asarray(second.sum(axis=1)).ravel()
        first, second = thin(first, 1 - t, rng), thin(second, t, rng)
        rare = rng.choice(np.argsort(np.asarray(counts.sum(axis=0)).ravel())[:1000], 20)
        own = sp.lil_matrix(first.shape, dtype=np.float32)
        rate = 0.01 * depth * 4 * t * (1 - t) / len(rare)
        own[:, rare] = rng.poisson(np.repeat(rate[:, None], len(rare), axis=1))
        second = second + own.tocsr()
    kept = np.concatenate([group[PLANTED : PLANTED + 160] for group in groups])
    whole = sp.csr_matrix(sp.vstack([counts[kept], first + second]))
    names = pd.DataFrame(index=[f"cell{i}" for i in range(whole.shape[0])])
    is_planted = np.arange(whole.shape[0]) >= len(kept)
    return anndata.AnnData(whole, obs=names, var=data.var.copy()), is_planted


@pytest.mark.parametrize("doublets", [True, False])
def test_planted_clusters_of_blood_cells(data_dir, doublets):
    data = anndata.read_h5ad(data_dir / "blood_pbmc3k.h5ad")
    given, is_planted = planted(data, doublets=doublets)
    cells = prepare(given)
    encoding = get_encoder("cellvq", adapt=not doublets).encode(cells)
    graph = find_neighbours(encoding.embedding, seed=0).connectivities
    states = find_states(encoding.code, graph, seed=0)
    rng = np.random.default_rng(0)
    found = intermediate_states(cells.counts, states, graph, rng=rng)
    level = states.table["level"].to_numpy() - 1
    share = np.array(
        [is_planted[states.cell[:, level[s]] == s].mean() for s in range(len(states.table))]
    )
    mostly = np.flatnonzero(share > 0.5)
    assert len(mostly)
    verdicts = found.loc[found["state"].isin(mostly), "verdict"]
    if doublets:
        assert (verdicts == "refused").all()
        return
    assert (verdicts == "provisional").any()
    kept = found[(found["verdict"] == "provisional") & found["state"].isin(mostly)]
    values = sp.csr_matrix(cells.counts).log1p()
    genes = monotone_genes(values, states, graph, triples=kept.head(1), rng=rng, top=100)
    symbols = set(cells.genes["symbol"].to_numpy()[genes["gene"]])
    assert symbols & {"LYZ", "S100A8", "S100A9", "CST3"}
    assert symbols & {"CD79A", "CD74", "MS4A1", "HLA-DRA"}
