"""Clique attention: every cell and its genes as one fully connected graph.

The one-block transformer of CellVQ-Graph (Wang et al., Nat Commun 2026): all tokens of a cell
attend to each other, the cell token is discretised, and expression is decoded from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from ...encoders.base import Progress
from ...encoders.errors import InputError
from ..attention.config import Floats, Integers, check_shape
from .config import CliqueConfig

if TYPE_CHECKING:
    import torch

    from .trained import TrainedClique


@dataclass(frozen=True)
class CliqueAttention:
    """Attention of cells in their cliques, with what training reached.

    Parameters
    ----------
    genes
        (n_cells, n_genes), the entries of the given tokens in their order: attention of the cell
        token, mean over heads, over its sum over the genes of the cell, times their number; 1 is
        uniform, the range is [0, n tokens of the cell]. Without entries when metadata was read.
    metadata
        Field -> (n_cells,) the same over the known fields of a cell, ``NaN`` where unknown. Empty
        when genes were read.
    embedding
        (n_cells, hidden) state of the cell token after the block, no unit.
    code
        (n_cells,) cell code, nearest entry of the codebook.
    history
        One row per epoch: ``epoch`` from 1; training losses ``loss`` (sum), ``value_cell`` and
        ``value_gene`` (squared log1p counts per 10,000, decoded from the cell and from the token of
        the gene asked for), ``count_cell`` and ``count_gene`` (nats per count), ``code`` (codebook
        terms); ``held_out`` (sum of the four on genes that training never saw), ``auroc`` of these
        genes, by the value decoded from the cell, against genes without a count of the cell that
        are tokens of as many cells, ``auroc_popularity`` of the same by (cells with the gene x
        genes of the cell); ``kept`` marks the epoch whose weights were used.
    network
        What can be asked of the trained network.
    """

    genes: csr_matrix
    metadata: dict[str, Floats]
    embedding: Floats
    code: Integers
    history: pd.DataFrame
    network: "TrainedClique"

    def gene_pairs(self, rows: Integers) -> csr_matrix:
        """Return the attention between genes summed over cells, above the diagonal.

        Cells are read again in batches; no attention map is kept.

        Parameters
        ----------
        rows
            (n,) cells, such as those of a state.

        Returns
        -------
        csr_matrix
            float64 (n_genes, n_genes); see
            :meth:`~scypher.kg.clique.trained.TrainedClique.gene_pairs`.

        Raises
        ------
        InputError
            If ``rows`` are no cells, or metadata was read in place of genes.
        """
        rows = np.asarray(rows)
        n_cells = len(self.embedding)
        if not np.issubdtype(rows.dtype, np.integer) or (
            len(rows) and not 0 <= rows.min() <= rows.max() < n_cells
        ):
            message = (
                f"rows of dtype {rows.dtype} were given for {n_cells} cells; expected integers "
                f"from 0 to {n_cells - 1}; pass positions of cells."
            )
            raise InputError(message)
        return self.network.gene_pairs(rows)


def attend_clique(
    cells: "Floats | csr_matrix",
    *,
    tokens: csr_matrix,
    gene_features: Floats,
    counts: csr_matrix,
    metadata: Mapping[str, Integers] | None = None,
    generator: "np.random.Generator | torch.Generator",
    config: CliqueConfig | None = None,
    progress: Progress | None = None,
) -> CliqueAttention:
    """Train the clique network and return its attention.

    One post-norm block with 8 heads sees a cell token and the genes of the cell (or its metadata
    values), which amounts to a fully connected graph per cell; the state of the cell is discretised
    by :class:`~scypher.encoders.scd.SoftConditionalDiscretisation`. Training takes genes out of a
    clique, adds as many genes without a count, and asks for their counts (zero-inflated negative
    binomial) and values (squared error), both from the discretised cell and from a token of the
    gene that reads the clique but is read by no one; the latter gives the attention between genes
    something to learn. Decoded are the genes asked for, by their embeddings, and not all genes of
    the data set by a dense layer. Cells do not see each other.

    What the encoder put into an embedding is not hidden with a gene: held-out measures say how
    well expression is decoded, not what the clique adds to the encoder.

    Parameters
    ----------
    cells
        (n_cells, d) embedding by the encoder, or CSR (n_cells, n_features) whole profile, such as
        log1p counts per 10,000.
    tokens
        (n_cells, n_genes) log1p counts per 10,000 of the chosen genes of each cell; every stored
        entry is a token (see :func:`~scypher.kg.attention.informative_tokens`).
    gene_features
        (n_genes, e); a row of zeros for a gene the encoder does not know.
    counts
        CSR (n_cells, n_genes) raw counts, which are decoded.
    metadata
        Field -> (n_cells,) number of the value from 0, -1 for unknown. When given, the values of a
        cell are its tokens in place of its genes.
    generator
        Source of all randomness; one number is drawn from it. The same state gives the same result
        on the same machine with the same number of threads.
    config
        Size and training.
    progress
        Called after every epoch, and after the last pass, with (what, done, total).

    Returns
    -------
    CliqueAttention
        Attention, embedding, codes and the record of training.

    Raises
    ------
    InputError
        If shapes do not fit, a number is not finite, counts are negative, or values of metadata
        are no integers from -1.
    """
    config = config or CliqueConfig()
    metadata = metadata or {}
    _check(cells, tokens, gene_features, counts=counts, metadata=metadata)
    # Torch takes seconds to load: here, not with the package.
    from .data import CliqueData
    from .training import train

    data = CliqueData.of(cells, tokens, gene_features, counts=counts, metadata=metadata)
    progress = progress or (lambda what, done, total: None)
    network, history = train(data, config, _seed(generator), progress)
    genes, fields, embedding, codes = network.read()
    progress("clique attention", config.epochs + 1, config.epochs + 1)
    if metadata:
        attention = csr_matrix(tokens.shape, dtype=np.float32)
    else:
        attention = csr_matrix(
            (genes, tokens.indices.copy(), tokens.indptr.copy()), shape=tokens.shape
        )
    by_field = {name: fields[:, place].copy() for place, name in enumerate(data.fields)}
    return CliqueAttention(attention, by_field, embedding, codes, pd.DataFrame(history), network)


def _seed(generator: "np.random.Generator | torch.Generator") -> int:
    if isinstance(generator, np.random.Generator):
        return int(generator.integers(2**63 - 1))
    import torch

    return int(torch.randint(2**63 - 1, (), generator=generator))


def _check(
    cells: "Floats | csr_matrix",
    tokens: csr_matrix,
    gene_features: Floats,
    *,
    counts: csr_matrix,
    metadata: Mapping[str, Integers],
) -> None:
    n_cells, n_genes = tokens.shape
    if tokens.nnz == 0:
        message = (
            f"tokens of {n_cells} cells without any entry were given; expected at least one gene "
            "in one cell; check that expression is not empty."
        )
        raise InputError(message)
    shapes: list[tuple[str, Any, tuple[int | None, ...]]] = [
        ("cells", cells, (n_cells, None)),
        ("gene_features", gene_features, (n_genes, None)),
        ("counts", counts, (n_cells, n_genes)),
        *((f"metadata {field!r}", values, (n_cells,)) for field, values in metadata.items()),
    ]
    for name, array, shape in shapes:
        check_shape(name, array, shape)
    numbers: list[tuple[str, Any]] = [
        ("cells", cells if isinstance(cells, np.ndarray) else cells.data),
        ("tokens", tokens.data),
        ("gene_features", gene_features),
        ("counts", counts.data),
    ]
    for name, array in numbers:
        if not np.isfinite(array).all():
            message = f"{name} holds NaN or infinity; expected finite numbers; drop or fill these."
            raise InputError(message)
    if counts.nnz and counts.data.min() < 0:
        message = (
            f"counts down to {counts.data.min()} were given; expected none below 0; pass raw "
            "counts, not scaled values."
        )
        raise InputError(message)
    for field, values in metadata.items():
        if not np.issubdtype(values.dtype, np.integer) or values.min() < -1:
            message = (
                f"metadata {field!r} of dtype {values.dtype} was given; expected integers, -1 for "
                "unknown, else from 0; number the values."
            )
            raise InputError(message)
