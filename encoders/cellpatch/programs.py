"""Gene programs of the patches, and where they are active."""

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from ..cells import Cells
from ..errors import InputError
from ..reading import chunks_by_length
from .encoder import CellPatchEncoder
from .inference import Reading, read_genes
from .tokens import pad

TOKENS_PER_CHUNK = 20_000
"""Genes whose weights are held at once, padding included, for every patch and head."""


def patch_programs(
    encoder: CellPatchEncoder, cells: Cells, n_top: int = 30, *, min_cells: int = 10
) -> pd.DataFrame:
    r"""Return the genes that each patch attends to most.

    .. math:: s_{pg} = \frac{1}{|C_g|} \sum_{c \in C_g} a_{cpg} L_c

    with :math:`a` the cross-attention averaged over heads, :math:`L_c` the genes read in the cell
    and :math:`C_g` the cells that express the gene: 1 is uniform attention. Memory is linear in
    genes, whatever the number of cells.

    Parameters
    ----------
    encoder, cells
        The encoder and the data.
    n_top
        Genes of each patch, 1 or more.
    min_cells
        Fewest cells in which a gene is read, 1 or more.

    Returns
    -------
    pandas.DataFrame
        One row per patch and gene: ``patch`` (from 0), ``gene`` (name in the data), ``rank`` (from
        1), ``weight``; ties go to the earlier gene of the data.

    Raises
    ------
    InputError
        A number is below 1, or no gene is read in so many cells.
    """
    if n_top < 1 or min_cells < 1:
        message = (
            f"n_top is {n_top} and min_cells {min_cells}; expected 1 or more each. Raise them."
        )
        raise InputError(message)
    reading = encoder.read(cells)
    seen = np.bincount(reading.values.indices, minlength=len(reading.genes))
    kept = np.flatnonzero(seen >= min_cells)
    if not len(kept):
        message = (
            f"no gene is read in {min_cells} cells or more; the most common one is in {seen.max()}."
            " Lower min_cells."
        )
        raise InputError(message)
    mean = (_attention_sums(encoder, reading)[:, kept] / seen[kept]).astype(np.float32)
    order = np.argsort(-mean, axis=1, kind="stable")[:, :n_top]
    n_patches, n_listed = order.shape
    names = cells.genes["name"].to_numpy()[reading.genes[kept]]
    return pd.DataFrame(
        {
            "patch": np.repeat(np.arange(n_patches), n_listed),
            "gene": names[order].ravel(),
            "rank": np.tile(np.arange(1, n_listed + 1), n_patches),
            "weight": np.take_along_axis(mean, order, axis=1).ravel(),
        }
    )


def patch_activity(encoder: CellPatchEncoder, cells: Cells, by: str) -> pd.DataFrame:
    """Return how strongly each patch is written by the cells of each group.

    It is the mean L2 norm of what a patch reads from the genes of a cell, after the output
    projection and before that is added to the patch. The norm of the finished patch would say
    little: its last step is a layer normalisation, which gives all patches nearly one length.

    Parameters
    ----------
    encoder, cells
        The encoder and the data.
    by
        Column of ``obs`` with the groups; cells without a value are left out.

    Returns
    -------
    pandas.DataFrame
        Patches (index ``patch``, from 0) by groups, 0 or more.

    Raises
    ------
    InputError
        There is no such column, or it is empty.
    """
    obs = cells.adata.obs
    if by not in obs:
        message = f"the cells have no column {by!r}; there are: {', '.join(obs)}. Name one of them."
        raise InputError(message)
    group, labels = pd.factorize(obs[by], sort=True)
    if not len(labels):
        message = f"the column {by!r} holds no value; expected a group for each cell. Fill it."
        raise InputError(message)
    labelled = np.flatnonzero(group >= 0)
    member = sparse.csr_matrix(
        (np.ones(len(labelled)), (labelled, group[labelled])), shape=(len(group), len(labels))
    )
    sums = np.zeros((encoder.model.config.n_patches, len(labels)))
    for chunk in read_genes(encoder.model, encoder.read(cells)):
        norm = torch.linalg.vector_norm(chunk.update, dim=2).numpy().astype(np.float64)
        sums += norm.T @ member[chunk.cells]
    mean = sums / np.bincount(group[labelled], minlength=len(labels))
    index = pd.RangeIndex(len(mean), name="patch")
    return pd.DataFrame(mean, index=index, columns=pd.Index(labels, name=by))


@torch.no_grad()
def _attention_sums(encoder: CellPatchEncoder, reading: Reading) -> np.ndarray:
    """Return attention times genes read, summed over cells, (n_patches, n_read) float64."""
    model, values = encoder.model, reading.values
    sums = torch.zeros(len(reading.genes), model.config.n_patches, dtype=torch.float64)
    for rows in chunks_by_length(np.diff(values.indptr), TOKENS_PER_CHUNK):
        chunk = values[rows]
        lengths = np.diff(chunk.indptr)
        row = np.repeat(np.arange(len(rows)), lengths)
        gene, value, present = pad(row, reading.tokens[chunk.indices], chunk.data, len(rows))
        start = model.start.expand(len(rows), -1, -1)
        weights = model.read.attn.weights(start, model.tokens(gene, value), present)
        scaled = weights.transpose(1, 2)[present] * torch.from_numpy(lengths[row])[:, None]
        sums.index_add_(0, torch.from_numpy(chunk.indices.astype(np.int64)), scaled.double())
    return sums.numpy().T
