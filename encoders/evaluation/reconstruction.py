"""How much expression the order of genes in a cell keeps, beside published values."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import numpy as np

from ..cells import Cells
from .frame import Value

PUBLISHED: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "all genes": MappingProxyType({"R2": 0.803, "Pearson": 0.920, "Spearman": 0.863}),
        "variable genes": MappingProxyType({"R2": 0.850, "Pearson": 0.920, "Spearman": 0.873}),
    }
)
"""Words of the sentences -> means of three tissues in the evaluation of Cell2Sentence with variable
genes; other data than ours, so that they tell the range and not who is better."""


def reconstruct_expression(cells: Cells, *, seed: int = 0) -> dict[str, list[Value]]:
    """Return agreement of expression with what its ranks give back, by the words of the sentences.

    Protocol of :func:`scypher.encoders.cell2sentence.reconstruction.score_reconstruction`: one line
    of log expression on log rank; :math:`R^2`, Pearson and Spearman over all words.

    Parameters
    ----------
    cells
        Checked data.
    seed
        Of the cells that the line is fitted to.
    """
    from ..cell2sentence.reconstruction import protocol_filter, score_reconstruction
    from ..cell2sentence.variable import variable_genes_of

    kept_cells, kept_genes = protocol_filter(cells.counts)
    counts = cells.counts[kept_cells][:, kept_genes]
    names = [str(name) for name in cells.genes["symbol"].to_numpy()[kept_genes]]
    if counts.shape[0] < 2 or counts.shape[1] < 2:
        note = f"{counts.shape[0]} cells express 200 genes or more, two are needed: left out"
        return {words: [_value("R2", float("nan"), seed, note)] for words in PUBLISHED}
    chosen = {"all genes": None, "variable genes": variable_genes_of(counts, names)}
    found = {}
    for words, genes in chosen.items():
        rng = np.random.default_rng(seed)
        _, agreement = score_reconstruction(counts, names, rng, genes=genes)
        found[words] = [
            _value("R2", agreement.r2, seed),
            _value("Pearson", agreement.pearson, seed),
            _value("Spearman", agreement.spearman, seed),
        ]
    return found


def published(words: str) -> Iterator[Value]:
    """Yield the published values for sentences of ``all genes`` or of ``variable genes``."""
    for measure, value in PUBLISHED[words].items():
        yield _value(measure, value, 0)


def _value(measure: str, value: float, seed: int, note: str = "") -> Value:
    return Value("reconstruction", "all", measure, value, seed, note=note)
