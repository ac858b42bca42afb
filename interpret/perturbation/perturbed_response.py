"""Ask an encoder about all changes of the cells of a group, and add up what it answers."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from ...encoders.response import Responds, Response
from ..statistics import Floats, Ints
from .changed_counts import Changes

MEASURES = ("cosine", "euclid", "flipped", "state_flipped")
"""What is measured of a cell."""

_CELLS_AT_ONCE = 512


@dataclass(frozen=True)
class Totals:
    """What ``n_changes`` changes do to ``n_cells`` cells; the first is asked, the others its null.

    Attributes
    ----------
    n_cells
        Cells asked.
    n_changed
        (n_changes,) cells whose counts are other ones.
    mean
        (n_changes, 4) mean of each of :data:`MEASURES` over the cells.
    state
        (n_changes, n_cells) state of each cell afterwards.
    attention, expression
        (n_changes, n_genes) mean difference over the cells; of log1p of expected counts per 10,000,
        ``None`` where the encoder cannot decode.
    attention_before, expression_before
        (n_genes,) mean before.
    """

    n_cells: int
    n_changed: Ints
    mean: Floats
    state: Ints
    attention: Floats
    expression: Floats | None
    attention_before: Floats
    expression_before: Floats | None


def add_up(
    model: Responds,
    counts: sp.csr_matrix,
    depth: Floats,
    changes: Changes,
    before: Response,
    *,
    state_of_code: Ints,
) -> Totals:
    """Return what all changes do to the cells of a group; memory grows with changes x genes.

    Parameters
    ----------
    model
        The fitted encoder.
    counts, depth
        (n_cells, n_genes) counts and (n_cells,) depth.
    changes
        What is done.
    before
        What the encoder says of the unchanged cells.
    state_of_code
        (n_codes,) state of each code.
    """
    n_cells, n_genes = counts.shape
    n_changes = changes.cut.shape[0]
    state_before = state_of_code[before.code]
    state = np.tile(state_before, (n_changes, 1))
    sums = np.zeros((n_changes, len(MEASURES)))
    n_changed = np.zeros(n_changes, dtype=np.int64)
    attention = np.zeros((n_changes, n_genes))
    decoded = before.expression
    expression = None if decoded is None else np.zeros((n_changes, n_genes))
    size = np.linalg.norm(before.embedding, axis=1).astype(np.float64)
    number = np.repeat(np.arange(n_changes), n_cells)
    cells = np.tile(np.arange(n_cells), n_changes)
    for start in range(0, len(number), _CELLS_AT_ONCE):
        change, cell = (item[start : start + _CELLS_AT_ONCE] for item in (number, cells))
        changed, kept = changes.apply(sp.csr_matrix(counts[cell]), depth[cell], change)
        if not len(kept):
            continue
        change, cell = change[kept], cell[kept]
        after = model.respond(changed, depth[cell])
        n_changed += np.bincount(change, minlength=n_changes)
        dot = (after.embedding * before.embedding[cell]).sum(axis=1, dtype=np.float64)
        norm = np.linalg.norm(after.embedding, axis=1).astype(np.float64) * size[cell]
        moved = after.embedding - before.embedding[cell]
        state[change, cell] = state_of_code[after.code]
        answers = (
            # A cell of which nothing is left has no direction.
            np.where(norm > 0, 1 - dot / np.where(norm > 0, norm, 1), 1.0),
            np.linalg.norm(moved, axis=1).astype(np.float64),
            after.code != before.code[cell],
            state[change, cell] != state_before[cell],
        )
        sums += np.stack([np.bincount(change, item, n_changes) for item in answers], axis=1)
        ones = np.ones(len(change))
        shape = (n_changes, len(change))
        of_change = sp.csr_matrix((ones, (change, np.arange(len(change)))), shape=shape)
        attention += (of_change @ (after.attention - before.attention[cell])).toarray()
        if expression is not None and decoded is not None:
            expression += of_change @ (after.expression - decoded[cell])
    return Totals(
        n_cells,
        n_changed,
        sums / n_cells,
        state,
        attention / n_cells,
        None if expression is None else expression / n_cells,
        np.asarray(before.attention.mean(axis=0), dtype=np.float64).ravel(),
        None if decoded is None else decoded.mean(axis=0, dtype=np.float64),
    )
