"""Markers by attention and expression together, of an encoded AnnData object, in one call."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from ..inputs import attention_of, groups_of, log_expression
from ..matched_null import matched_test
from ..rewiring import rewiring_test
from ..statistics import Ints, adjust
from .consensus import rank_markers

if TYPE_CHECKING:
    from anndata import AnnData


def consensus_markers(
    adata: "AnnData",
    groupby: str,
    *,
    encoder: str = "cellvq",
    donor: str | None = None,
    layer: str | None = None,
    totals: str | None = None,
    top: int = 50,
    seed: int = 0,
    key_added: str | None = None,
) -> pd.DataFrame:
    """Rank the genes of every group by attention and expression, each beside the other.

    As the graph holds them, but by the attention of the encoder: see
    :func:`~scypher.interpret.markers.consensus.rank_markers`, to which the nulls of genes expressed
    alike and of rewired attention are added.

    Parameters
    ----------
    adata
        Encoded cells (:func:`scypher.encode`).
    groupby
        Column of ``obs`` with the groups.
    encoder
        Name of the encoder whose attention is read from ``layers``.
    donor
        Column of ``obs`` with the donors, within which labels are permuted.
    layer, totals
        As in :func:`~scypher.interpret.inputs.log_expression`.
    top
        Consensus ranks to keep per group.
    seed
        Of the permutations.
    key_added
        Key of ``uns`` to which the frame is written.

    Returns
    -------
    pandas.DataFrame
        The columns of :func:`~scypher.interpret.markers.consensus.rank_markers`, with names of
        groups and genes, and ``matched_z``, ``matched_q`` (attention beside genes expressed alike),
        ``rewired_z``, ``rewired_q`` (beside rewired attention).

    Raises
    ------
    InputError
        There is no such column or layer, or no attention of that encoder.
    """
    attention = attention_of(adata, encoder)
    labels, groups = groups_of(adata, groupby)
    table = markers_with_nulls(
        log_expression(adata, layer=layer, totals=totals),
        groups,
        len(labels),
        attention=attention,
        donors=None if donor is None else groups_of(adata, donor)[1],
        rng=np.random.default_rng(seed),
        top=top,
    )
    table["group"] = np.array(labels, dtype=object)[table["group"]]
    table["gene"] = adata.var_names.to_numpy(dtype=object)[table["gene"]]
    if key_added is not None:
        adata.uns[key_added] = table
    return table


def markers_with_nulls(
    expression: sp.csr_matrix,
    groups: Ints,
    n_groups: int,
    *,
    attention: sp.csr_matrix,
    donors: Ints | None,
    rng: np.random.Generator,
    top: int,
) -> pd.DataFrame:
    """Return :func:`rank_markers` with its attention beside two more nulls.

    Parameters
    ----------
    expression, groups, n_groups, attention, donors, rng, top
        As of :func:`rank_markers`.

    Returns
    -------
    pandas.DataFrame
        Its columns, and ``matched_z``, ``matched_q``, ``rewired_z``, ``rewired_q``; q is
        Benjamini-Hochberg over what each null could test, 1 where it could not.
    """
    table = rank_markers(
        expression, groups, n_groups, attention=attention, donors=donors, rng=rng, top=top
    )
    strata = np.zeros(len(groups), np.int64) if donors is None else donors
    at = table["group"].to_numpy(), table["gene"].to_numpy()
    for name, test in (
        ("matched", matched_test(attention, expression, groups, n_groups, strata=strata, rng=rng)),
        ("rewired", rewiring_test(attention, groups, n_groups, strata=strata, rng=rng)),
    ):
        q = np.ones_like(test.p)
        q[test.tested] = adjust(test.p[test.tested])
        table[f"{name}_z"], table[f"{name}_q"] = test.z[at], q[at]
    return table
