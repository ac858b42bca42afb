"""What is called significant where nothing is: cell types shuffled over the cells of blood_pbmc3k.

Every fifth cell. The attention tested is that of a graph attention trained without labels, so that
shuffled labels know nothing of it. 100 shuffles (5 when quick); the share of all tested pairs of
type and gene with q < 0.05, beside the nominal 5 percent, which no share should exceed, and the
share with p < 0.05, which should be about as large. Expression stands for the test behind
MARKED_BY, attention for its other half, then the two further nulls of the lift. The rewired null
permutes genes, not labels, so its share with p < 0.05 need not be the nominal one here.
"""

from pathlib import Path

import anndata
import numpy as np
from rows import Row, row
from scipy import sparse

from scypher.encoders.cells import Cells, prepare
from scypher.encoders.counts import normalise
from scypher.encoders.registry import get_encoder
from scypher.interpret.markers.rank_sum import rank_sum
from scypher.interpret.matched_null import calibrate
from scypher.interpret.statistics import adjust
from scypher.interpret.variable_genes import select_genes
from scypher.kg.attention import attend, top_tokens

SHUFFLES, QUICK = 100, 5
EVERY = 5
N_GENES, N_TOKENS = 1000, 128
NOMINAL = 0.05
NAMES = {
    "label": "attention, labels permuted",
    "matched": "attention, beside genes expressed alike",
    "rewired": "attention, cells and genes rewired",
}


def rows(data: Path, quick: bool) -> list[Row]:
    """Return the shares called significant, mean over shuffles."""
    cells = prepare(anndata.read_h5ad(data / "blood_pbmc3k.h5ad")[::EVERY].copy())
    values = normalise(cells.counts, cells.totals)
    genes = select_genes(values, N_GENES)
    attention = _attention(cells, values, genes)
    names, label = np.unique(cells.adata.obs["cell_type"].astype(str), return_inverse=True)
    detected = np.flatnonzero(np.bincount(values.indices, minlength=values.shape[1]) >= 3)
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(QUICK if quick else SHUFFLES):
        drawn = rng.permutation(label)
        p = rank_sum(values[:, detected], drawn, len(names), calibrated=True)["p"]
        found = calibrate(
            attention,
            values[:, genes],
            drawn,
            len(names),
            strata=np.zeros(len(drawn), dtype=np.int64),
            rng=rng,
            n_permutations=199,
        )
        share = {"expression": ((p < NOMINAL).mean(), (adjust(p) < NOMINAL).mean())}
        for null, name in NAMES.items():
            below = (found[[f"{null}_p", f"{null}_q"]] < NOMINAL).mean()
            share[name] = (below.iloc[0], below.iloc[1])
        shares.append(share)
    return [
        row(
            f"blood_pbmc3k, shuffled types, {name}",
            f"share with {measure} < {NOMINAL}",
            unit="share",
            ours=float(np.mean([share[name][place] for share in shares])),
            peer=NOMINAL,
            peer_name="nominal",
        )
        for name in shares[0]
        for place, measure in enumerate("pq")
    ]


def _attention(cells: Cells, values: sparse.csr_matrix, genes: np.ndarray) -> sparse.csr_matrix:
    """Return the attention of cells to genes, (n_cells, n_genes), of a network without labels."""
    encoding = get_encoder("cellvq", adapt=False).encode(cells)
    used = values[:, genes].tocsr()
    mean = np.asarray(used.mean(axis=0)).ravel()
    square = np.asarray(used.multiply(used).mean(axis=0)).ravel()
    present, codes = np.unique(encoding.code, return_inverse=True)
    return attend(
        encoding.embedding,
        tokens=top_tokens(
            used,
            n_tokens=N_TOKENS,
            gene_mean=mean,
            gene_sd=np.sqrt(np.maximum(square - mean**2, 0)),
        ),
        gene_features=encoding.gene_embedding[genes],
        codes=codes,
        codebook=encoding.codebook[present],
        metadata={},
        generator=np.random.default_rng(0),
    ).genes
