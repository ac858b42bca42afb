"""Scores of ligand-receptor pairs between groups, from the means of their genes."""

import numpy as np
import scipy.sparse as sp

from ..statistics import Floats, Ints
from .ligand_receptor import PairGenes

TIES = 1e-9
"""Relative difference below which two scores are equal: sums depend on the order of cells."""


def smallest_of(profiles: Floats, genes: Ints) -> Floats:
    """Return the minimum over subunits (n_sides, most; filled with -1) of (..., n_genes)."""
    filled = np.concatenate([profiles, np.full((*profiles.shape[:-1], 1), np.inf)], axis=-1)
    smallest: Floats = filled[..., genes].min(axis=-1)
    return smallest


def relative(means: Floats) -> Floats:
    """Return roots of means (n_groups, n) over their mean over groups, 0 where all are 0.

    The specificity of a pair is the product of that of its ligand in the source and that of its
    receptor in the target, as the mean over all pairs of groups is a product too.
    """
    root = np.sqrt(means)
    total = root.mean(axis=0)
    out: Floats = np.divide(root, total, out=np.zeros_like(root), where=total > 0)
    return out


def group_profiles(cells: sp.csr_matrix, label: Ints, n_groups: int) -> tuple[Floats, Floats]:
    """Return mean and share detected per group and gene."""
    member = sp.csr_matrix(
        (np.ones(len(label)), (label, np.arange(len(label)))), shape=(n_groups, len(label))
    )
    size = np.bincount(label, minlength=n_groups)[:, None]
    mean = (member @ cells.astype(np.float64)).toarray() / size
    return mean, (member @ (cells > 0).astype(np.float64)).toarray() / size


def score_columns(
    means: Floats, detected: Floats, ligand: Ints, receptor: Ints
) -> dict[str, Floats]:
    """Return columns of shape (n_pairs, n_groups, n_groups), by source and target."""
    send, take = smallest_of(means, ligand).T, smallest_of(means, receptor).T
    send_share, take_share = smallest_of(detected, ligand).T, smallest_of(detected, receptor).T
    send_over, take_over = relative(send.T).T, relative(take.T).T
    shape = (len(ligand), len(means), len(means))
    return {
        "score": np.sqrt(send[:, :, None] * take[:, None, :]),
        "specificity": send_over[:, :, None] * take_over[:, None, :],
        "ligand_mean": np.broadcast_to(send[:, :, None], shape),
        "receptor_mean": np.broadcast_to(take[:, None, :], shape),
        "ligand_detected": np.broadcast_to(send_share[:, :, None], shape),
        "receptor_detected": np.broadcast_to(take_share[:, None, :], shape),
    }


def known_partners(n_genes: int, *tables: PairGenes) -> sp.csr_matrix:
    """Return known partners, any subunit with any, as a symmetric matrix of genes."""
    a = np.concatenate([np.repeat(t.ligand, t.receptor.shape[1], axis=1).ravel() for t in tables])
    b = np.concatenate([np.tile(t.receptor, (1, t.ligand.shape[1])).ravel() for t in tables])
    real = (a >= 0) & (b >= 0)
    a, b = a[real], b[real]
    both = (np.concatenate([a, b]), np.concatenate([b, a]))
    return sp.csr_matrix(sp.coo_matrix((np.ones(2 * len(a)), both), shape=(n_genes, n_genes)))
