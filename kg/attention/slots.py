"""Graph attention in the slots of an AnnData object."""

from typing import TYPE_CHECKING

import numpy as np

from ...encoders import slots
from ...encoders.errors import InputError
from .run import GraphAttention

if TYPE_CHECKING:
    from anndata import AnnData

NAME = "graph"
"""What stands for the graph in the names of its slots."""


def write_slots(adata: "AnnData", attention: GraphAttention) -> None:
    """Write attention and refined embeddings into their slots (see :mod:`scypher.encoders.slots`).

    ``layers['graph_attention']`` holds the attention of cells to genes (1 = uniform),
    ``obsm['X_graph']`` the states of the cells, ``varm['graph_genes']`` those of the genes;
    ``uns['scypher']['graph']`` holds ``codes`` and ``code_numbers`` (states of the codes that occur
    and their rows in the codebook), ``metadata`` (field -> states of its values) and ``history``
    (columns of the record of training). All embeddings lie in one space.

    Parameters
    ----------
    adata
        The cells and genes that were attended, in their order; changed.
    attention
        Result of :func:`~scypher.kg.attention.attend`.

    Raises
    ------
    InputError
        The data have other cells or genes.
    """
    if adata.shape != attention.genes.shape:
        message = (
            f"data of shape {adata.shape} were given for attention of shape "
            f"{attention.genes.shape}; expected the same cells and genes; pass the data that were "
            "attended."
        )
        raise InputError(message)
    adata.layers[slots.attention(NAME)] = attention.genes
    adata.obsm[slots.embedding(NAME)] = attention.embedding
    if attention.gene_embedding is not None:
        adata.varm[slots.gene_embedding(NAME)] = attention.gene_embedding
    found = {
        "codes": attention.code_embedding,
        "code_numbers": attention.code_numbers,
        "metadata": attention.metadata_embedding,
        "history": {name: np.asarray(column) for name, column in attention.history.items()},
    }
    adata.uns[slots.UNS] = {
        **adata.uns.get(slots.UNS, {}),
        NAME: {name: value for name, value in found.items() if value is not None},
    }
