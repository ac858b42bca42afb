"""What would happen without a gene? Cut it out, ask the model again, and see which codes flip.

A counterfactual says what a model draws on, not what a cell would do: its null is over genes, and
cells or donors are no replicates of it.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from ...encoders.base import Recode
from ...encoders.counts import normalise
from ..statistics import Floats, Ints, refuse
from .cuts import (
    Respond,
    against_null,
    ask,
    cuts_alone,
    cuts_together,
    joined,
    mean_answers,
    plan_cuts,
)

if TYPE_CHECKING:
    from ...kg.attention.trained import TrainedNetwork
    from ...kg.states import States

_LEAST = 1e-300


def states_of_codes(states: "States", codebook: NDArray[np.float32], *, level: int = 1) -> Ints:
    """Return the state of every code, (n_codes,), as a row of the table of states.

    A code that no cell has is given the state of the code in use of highest cosine, since a cell
    may move to it when a gene is cut. -1 where the state has no finer ones on this level.
    """
    used = np.array(sorted(states.code), dtype=np.int64)
    row = np.array(
        [([*states.code[code], -1, -1])[level - 1] for code in used.tolist()], dtype=np.int64
    )
    nearest = (codebook @ codebook[used].T).argmax(axis=1)
    # A vector may occur twice in a codebook: a code in use keeps its own state.
    nearest[used] = np.arange(len(used))
    found: Ints = row[nearest]
    return found


def cut_genes(
    counts: sp.csr_matrix,
    recode: Recode,
    asked: pd.DataFrame,
    *,
    groups: Ints,
    state_of_code: Ints,
    rng: np.random.Generator,
    readable: NDArray[np.bool_] | None = None,
    together: bool = False,
    n_null: int = 49,
    max_cells: int = 50,
) -> pd.DataFrame:
    """Cut genes out of the cells of groups, encode again, and test how many codes flip.

    The counts of the gene become 0; all other counts and the depth of the cell stay, so that no
    other value changes: renormalised, a cut would raise every other gene of the cell. Only cells
    that express the gene are encoded again, all cells of the group are the denominator.

    Null: genes expressed alike flip as many codes. The same is done for each of the ``n_null``
    genes nearest in log mean and logit detection in the very group, those asked about left out;
    ``p = (b + 1) / (n_null + 1)`` with ``b`` of them that flip at least as many, one-sided; q is
    Benjamini-Hochberg over all rows. A gene at the end of the range has no like: compare
    ``detected`` with ``null_detected``.

    Parameters
    ----------
    counts
        (n_cells, n_genes) raw counts.
    recode
        The fitted encoder.
    asked
        Columns ``gene`` and ``group``, positions, one row per question, such as top markers.
    groups
        (n_cells,) group of each cell, -1 for none.
    state_of_code
        (n_codes,) state of each code (see :func:`states_of_codes`).
    rng
        Chooses the cells, and the null genes where genes are cut together.
    readable
        (n_genes,) genes that the encoder reads; others can flip nothing and would weaken the null.
        All when not given.
    together
        Cut all genes asked of a group at once, against sets of matched genes: one row per group.
    n_null
        Null genes, or sets, of each row; the smallest p is ``1 / (n_null + 1)``.
    max_cells
        Cells drawn per group, the same for a gene and its null.

    Returns
    -------
    pandas.DataFrame
        One row per question, in order of group: ``gene`` (-1 when cut together), ``group``,
        ``n_genes`` cut, ``n_cells`` asked, ``n_cut`` (of them express it), ``detected`` and
        ``null_detected`` (shares of the group that express the gene and, mean, its null);
        ``flipped`` (share of cells whose code changes), ``null_mean``, ``null_sd``, ``z`` (NaN
        where the null does not vary), ``p``, ``q``; the same of states: ``state_flipped``,
        ``state_null_mean``, ``state_null_sd``, ``state_z``, ``state_p``, ``state_q``; ``to_group``
        (state that most of them move to, -1 for none) and ``to_share`` (of those that move);
        ``n_null``.

    Raises
    ------
    InputError
        If shapes do not fit, a gene or group does not exist, is not read or not expressed in its
        group, or there are too few genes to compare with.
    """
    counts = sp.csr_matrix(counts)
    totals = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    values = normalise(counts, np.maximum(totals, 1))
    plan = plan_cuts(values, asked, groups, readable, n_null=n_null, max_cells=max_cells, rng=rng)
    before = np.full(counts.shape[0], -1, dtype=np.int64)
    rows = np.concatenate([group.rows for group in plan])
    before[rows] = recode(sp.csr_matrix(counts[rows]), totals[rows])
    if before.max() >= len(state_of_code):
        refuse(
            f"states of {len(state_of_code)} codes were given with code {before.max()}",
            "a state for every code of the codebook",
            "make them from the codebook of the same encoder",
        )

    def respond(changed: sp.csr_matrix, rows: Ints) -> Floats:
        after = recode(changed, totals[rows])
        origin, target = state_of_code[before[rows]], state_of_code[after]
        moved = origin != target
        answers = (after != before[rows], moved, np.where(moved, target, -1))
        stacked: Floats = np.stack([part.astype(np.float64) for part in answers], axis=1)
        return stacked

    tables = []
    for group in plan:
        cuts = cuts_together(group, n_null, rng) if together else cuts_alone(group)
        answers, cut = ask(counts, group.rows, cuts.members, respond)
        means = mean_answers(answers[:, :2], cut, cuts, len(group.rows))
        table = against_null(group, cuts, cut, means, names=("flipped", "state_flipped"))
        table |= _targets(answers[:, 2].astype(np.int64), cut, cuts.asked)
        tables.append(pd.DataFrame(table))
    return joined(tables, n_null)


def cut_edges(
    network: "TrainedNetwork",
    asked: pd.DataFrame,
    *,
    groups: Ints,
    state_of_code: Ints,
    rng: np.random.Generator,
    n_null: int = 49,
    max_cells: int = 50,
) -> pd.DataFrame:
    """Cut the edges of genes to the cells of groups and test how much surer the network was.

    The code of a cell is withheld and predicted with and without the edge. Null and p as in
    :func:`cut_genes`, over genes whose edges have like values and reach as many cells of the group.

    Parameters
    ----------
    network
        Of graph attention.
    asked, groups, rng, n_null, max_cells
        As in :func:`cut_genes`.
    state_of_code
        (n,) state of each code as numbered in the training of the network.

    Returns
    -------
    pandas.DataFrame
        As :func:`cut_genes`, with ``dropped`` and ``state_dropped`` (mean fall of the log
        probability of the cell's own code and state, nats, over all asked cells of the group) in
        place of the shares that flip, and without ``to_group`` and ``to_share``.

    Raises
    ------
    InputError
        As :func:`cut_genes`.
    """
    graph = network.graph
    tokens = sp.csr_matrix(graph.tokens)
    plan = plan_cuts(tokens, asked, groups, None, n_null=n_null, max_cells=max_cells, rng=rng)
    # A cell without a code has none to lose.
    plan = [replace(group, rows=group.rows[graph.codes[group.rows] >= 0]) for group in plan]
    own = _own_log_probability(network, np.asarray(state_of_code)[graph.present_codes])
    before = np.zeros((tokens.shape[0], 2))
    rows = np.concatenate([group.rows for group in plan])
    before[rows] = own(sp.csr_matrix(tokens[rows]), rows)

    def fall(changed: sp.csr_matrix, rows: Ints) -> Floats:
        return before[rows] - own(changed, rows)

    tables = []
    for group in plan:
        cuts = cuts_alone(group)
        answers, cut = ask(tokens, group.rows, cuts.members, fall)
        means = mean_answers(answers, cut, cuts, len(group.rows))
        names = ("dropped", "state_dropped")
        tables.append(pd.DataFrame(against_null(group, cuts, cut, means, names=names)))
    return joined(tables, n_null)


def _own_log_probability(network: "TrainedNetwork", state: Ints) -> Respond:
    """Return what gives the log probability of a cell's own code and state, from its tokens."""
    n_cells = network.graph.tokens.shape[0]

    def own(changed: sp.csr_matrix, rows: Ints) -> Floats:
        order = np.argsort(rows, kind="stable")
        count = np.bincount(rows, minlength=n_cells)
        turn = np.empty(len(rows), dtype=np.int64)
        turn[order] = np.arange(len(rows)) - (np.cumsum(count) - count)[rows[order]]
        answers = np.empty((len(rows), 2))
        # The network knows each cell once: a cell with several cuts takes several turns.
        for number in range(int(turn.max(initial=-1)) + 1):
            now = order[turn[order] == number]
            cells, block = rows[now], sp.csr_matrix(changed[now])
            length = np.zeros(n_cells + 1, dtype=np.int64)
            length[cells + 1] = np.diff(block.indptr)
            placed = sp.csr_matrix(
                (block.data, block.indices, np.cumsum(length)), shape=(n_cells, block.shape[1])
            )
            found = network.code_log_probability(placed, cells).astype(np.float64)
            code = network.graph.codes[cells]
            same = state[None, :] == state[code][:, None]
            of_state = (np.exp(found) * same).sum(axis=1)
            answers[now, 0] = found[np.arange(len(now)), code]
            answers[now, 1] = np.log(np.maximum(of_state, _LEAST))
        return answers

    return own


def _targets(target: Ints, cut: Ints, asked: Ints) -> dict[str, NDArray[np.generic]]:
    """Return the state that most moving cells of each asked cut go to, and their share."""
    place = np.full(int(max(cut.max(initial=0), asked.max())) + 1, -1)
    place[asked] = np.arange(len(asked))
    moved = (place[cut] >= 0) & (target >= 0)
    n_states = int(target.max(initial=-1)) + 1
    if not n_states:
        return {"to_group": np.full(len(asked), -1), "to_share": np.zeros(len(asked))}
    slot = place[cut][moved] * n_states + target[moved]
    number = np.bincount(slot, minlength=len(asked) * n_states).reshape(len(asked), n_states)
    total, most = number.sum(axis=1), number.max(axis=1)
    return {
        "to_group": np.where(total > 0, number.argmax(axis=1), -1),
        "to_share": most / np.maximum(total, 1),
    }
