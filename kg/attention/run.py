"""Graph attention: how much each cell draws on each of its genes and annotations.

A network of GATv2 convolutions passes messages from genes, cell codes and metadata values to cells.
It is trained on what the graph itself hides, and its last layer gives the weights.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from ...encoders.base import Progress
from ...encoders.errors import InputError
from .config import Floats, GraphAttentionConfig, Integers, check_shape
from .relations import Relations

if TYPE_CHECKING:
    import torch

    from .trained import TrainedNetwork


@dataclass(frozen=True)
class GraphAttention:
    """Attention of cells in the graph, with what training reached.

    Parameters
    ----------
    genes
        (n_cells, n_genes), the entries of the given tokens in their order. An entry is the mean
        over heads of the last layer's attention, which sums to 1 over the genes of a cell, times
        the number of genes of the cell: 1 is uniform, the range is (0, n tokens of the cell]. It is
        the attention of a network that sees neither the embedding nor the code of the cell, so that
        genes and metadata alone must tell what it is.
    metadata
        Field -> (n_cells,) attention of the cell to its value of the field times the number of its
        known fields; 1 is uniform, ``NaN`` where the field is unknown. With one known field it is 1
        whatever was learned. (A cell has one code, of which the attention is always 1: not kept.)
    embedding
        (n_cells, hidden) state of the cells after the last layer, no unit.
    history
        One row per epoch: ``epoch`` from 1; training losses ``loss`` (weighted sum), ``existence``
        (nats per pair), ``value`` (squared log1p counts per 10,000), ``code`` and ``metadata``
        (nats per cell, ``NaN`` when there is nothing to predict); ``auroc`` of held-out gene edges
        against degree-matched genes absent from the cell, ``auroc_popularity`` of the same pairs
        by (cells with the gene x genes of the cell), both ``NaN`` without such pairs; ``kept``
        marks the epoch whose weights were used. A network that learned nothing of the cells has an
        ``auroc`` no higher than ``auroc_popularity``.
    network
        What can be asked of the trained network; ``None`` for attention from elsewhere.
    near
        (n_cells, n_cells), the entries of the given neighbours in their order: attention of a cell
        to its neighbours times their number, 1 is uniform; ``None`` without neighbours.
    gene_embedding
        (n_genes, hidden) states of the genes that cells draw on, in the space of ``embedding``
        before its layers; zeros for a gene without cells. This and the following are ``None`` for
        attention from elsewhere.
    code_embedding, code_numbers
        (n_present_codes, hidden) states of the codes that occur, and their rows in the codebook.
    metadata_embedding
        Field -> (1 + highest number, hidden) states of the values, zeros for a value without cells.
    """

    genes: csr_matrix
    metadata: dict[str, Floats]
    embedding: Floats
    history: pd.DataFrame
    network: "TrainedNetwork | None" = None
    near: csr_matrix | None = None
    gene_embedding: Floats | None = None
    code_embedding: Floats | None = None
    code_numbers: Integers | None = None
    metadata_embedding: dict[str, Floats] | None = None


def attend(
    cells: Floats,
    *,
    tokens: csr_matrix,
    gene_features: Floats,
    codes: Integers,
    codebook: Floats,
    metadata: dict[str, Integers],
    generator: "np.random.Generator | torch.Generator",
    relations: Relations | None = None,
    config: GraphAttentionConfig | None = None,
    progress: Progress | None = None,
) -> GraphAttention:
    """Train a heterogeneous GATv2 network on the graph and return its attention.

    GATv2 (Brody, Alon and Yahav 2022) weighs the edge from source s to cell t, per head, by
    ``softmax over s of a . LeakyReLU(W_s x_s + W_t x_t + W_e e_st)`` and sends ``W_s x_s``. Every
    edge type (gene, code, metadata value -> cell) has its own convolution; a layer is
    ``LayerNorm(x_t + dropout(GELU(sum over types)))``. Edges of genes carry log1p value, rank in
    the cell and z-score over cells. Nothing is passed between cells but the embedding of the
    given neighbours, so that the attention of a cell does not depend on the batch it is in.

    Training hides part of the gene edges of a batch and predicts their existence, against absent
    genes drawn in proportion to their number of cells, and their value; it takes the code from a
    random half of the cells, and with it their embedding, which would tell it, and one metadata
    field from another half, and predicts those. What is predicted in a step carries no message in
    it.

    Parameters
    ----------
    cells
        (n_cells, d) embedding by the encoder.
    tokens
        (n_cells, n_genes) log1p counts per 10,000 of the top genes of each cell; every stored entry
        is an edge, zeros too (see :func:`top_tokens`).
    gene_features
        (n_genes, e); a row of zeros for a gene the encoder does not know.
    codes
        (n_cells,) row of the codebook, -1 for none.
    codebook
        (n_codes, c).
    metadata
        Field -> (n_cells,) number of the value from 0, -1 for unknown. May be empty.
    generator
        Source of all randomness; one number is drawn from it. The same state gives the same bits on
        the same machine with the same number of threads. No global generator is changed.
    relations
        Neighbours of cells, a prior on genes, signals between codes; none by default. They are
        given, not learned: none of them is a target of training.
    config
        Size and training; the default suits thousands of cells on two cores.
    progress
        Called after every epoch, and after the last pass, with (what, done, total).

    Returns
    -------
    GraphAttention
        Attention, embedding and the record of training.

    Raises
    ------
    InputError
        If shapes do not fit, a number is not finite, or codes or values are out of range.
    """
    config = config or GraphAttentionConfig()
    _check(cells, tokens, gene_features, codes=codes, codebook=codebook, metadata=metadata)
    if relations is not None:
        relations.check(tokens.shape[0], tokens.shape[1], len(codebook))
    # Torch takes seconds to load: here, not with the package.
    from .bipartite import Bipartite
    from .training import train

    graph = Bipartite.of(
        cells,
        tokens,
        gene_features,
        codes=codes,
        codebook=codebook,
        metadata=metadata,
        relations=relations,
    )
    progress = progress or (lambda what, done, total: None)
    network, history = train(graph, config, _seed(generator), progress)
    reading, sources = network.read_all(), network.sources()
    progress("graph attention", config.epochs + 1, config.epochs + 1)
    near = None
    if relations is not None and relations.near is not None:
        to_near = np.zeros(0, np.float32) if reading.near is None else reading.near
        near = _like(relations.near, to_near)
    return GraphAttention(
        genes=_like(tokens, reading.genes),
        metadata=reading.fields,
        embedding=reading.cells,
        history=pd.DataFrame(history),
        network=network,
        near=near,
        gene_embedding=sources.genes,
        code_embedding=sources.codes,
        code_numbers=graph.present_codes,
        metadata_embedding=sources.values,
    )


def _like(matrix: csr_matrix, values: Floats) -> csr_matrix:
    """Return other values of the entries of a matrix, in their order."""
    return csr_matrix(
        (values, matrix.indices.copy(), matrix.indptr.copy()), shape=matrix.shape, copy=False
    )


def _seed(generator: "np.random.Generator | torch.Generator") -> int:
    if isinstance(generator, np.random.Generator):
        return int(generator.integers(2**63 - 1))
    import torch

    return int(torch.randint(2**63 - 1, (), generator=generator))


def _check(
    cells: Floats,
    tokens: csr_matrix,
    gene_features: Floats,
    *,
    codes: Integers,
    codebook: Floats,
    metadata: dict[str, Integers],
) -> None:
    n_cells, n_genes = tokens.shape
    if tokens.nnz == 0:
        problem = (
            f"tokens of {n_cells} cells without any entry; expected at least one gene in one cell; "
            "check that expression is not empty"
        )
        raise InputError(problem)
    for name, array, shape in (
        ("cells", cells, (n_cells, None)),
        ("gene_features", gene_features, (n_genes, None)),
        ("codes", codes, (n_cells,)),
        ("codebook", codebook, (None, None)),
        *((f"metadata {field!r}", values, (n_cells,)) for field, values in metadata.items()),
    ):
        check_shape(name, array, shape)
    for name, array in (
        ("cells", cells),
        ("tokens", tokens.data),
        ("gene_features", gene_features),
        ("codebook", codebook),
    ):
        if not np.isfinite(array).all():
            problem = f"{name} holds NaN or infinity; expected finite numbers; drop or fill these"
            raise InputError(problem)
    for name, values, size in (
        ("codes", codes, len(codebook)),
        *((f"metadata {field!r}", values, None) for field, values in metadata.items()),
    ):
        if not np.issubdtype(values.dtype, np.integer):
            problem = f"{name} of dtype {values.dtype}; expected integers; convert them"
            raise InputError(problem)
        if values.min() < -1 or (size is not None and values.max() >= size):
            limit = "" if size is None else f" and below {size}, the rows of the codebook"
            problem = (
                f"{name} from {values.min()} to {values.max()}; expected -1 for unknown, else "
                f"numbers from 0{limit}; renumber them"
            )
            raise InputError(problem)
