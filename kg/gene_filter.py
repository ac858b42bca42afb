"""Genes that can tell cells apart, by their annotation."""

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..encoders.errors import InputError

UNINFORMATIVE = ("mitochondrial", "ribosomal")
"""Classes that follow stress and growth of a cell more than its kind."""


def informative_genes(
    genes: pd.DataFrame, *, leave_out: Collection[str] = UNINFORMATIVE
) -> npt.NDArray[np.bool_]:
    """Return which genes are of no class that is left out.

    The class comes from the annotation of the gene, so that a gene is never taken for a ribosomal
    one because of letters in its symbol: PARP1, NLRP3 and SERPINA1 hold «RP» and stay.

    Parameters
    ----------
    genes
        One row per gene with its ``gene_class``, as in ``Cells.genes``; genes without an
        annotation are of class ``unknown`` and stay.
    leave_out
        Classes to leave out.

    Returns
    -------
    ndarray
        (n_genes,) bool.

    Raises
    ------
    InputError
        If ``genes`` has no ``gene_class``.

    Examples
    --------
    >>> informative_genes(pd.DataFrame({"gene_class": ["ribosomal", "protein_coding"]})).tolist()
    [False, True]
    """
    if "gene_class" not in genes:
        message = (
            f"a gene table with columns {', '.join(map(str, genes.columns))} was given; expected "
            "a column gene_class; pass the genes of prepared cells."
        )
        raise InputError(message)
    kept: npt.NDArray[np.bool_] = ~genes["gene_class"].isin(list(leave_out)).to_numpy()
    return kept
