"""The verbs of the encoders: pure reading of data, then encoding into its slots."""

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from . import slots
from .base import Encoder, Progress, write_slots
from .cells import Cells, prepare
from .counts import is_integral
from .registry import get_encoder

if TYPE_CHECKING:
    from anndata import AnnData


def encode(
    data: "AnnData | str",
    *,
    encoder: str = "cellvq",
    layer: str | None = None,
    adapt: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
) -> "AnnData":
    """Return a copy of the data with codes, embedding and attention in their slots.

    Parameters
    ----------
    data
        AnnData object or path of an ``.h5ad`` file.
    encoder
        Name of an encoder, or a folder with CellVQ weights.
    layer
        Layer with raw counts, ``raw``, or ``X`` when not given.
    adapt
        Fit the encoder briefly to these cells, without labels.
    seed
        Of every random choice.
    progress
        Told how far it is.

    Returns
    -------
    AnnData
        Cells and genes without a count are left out. The slots are listed in
        :mod:`scypher.encoders.slots`; ``layers['counts']`` is added when ``X`` holds no counts.

    Raises
    ------
    InputError
        See :func:`scypher.encoders.cells.prepare`.
    """
    cells = prepare(data, layer=layer)
    chosen = get_encoder(encoder, adapt=adapt)
    return encode_cells(cells, chosen, seed=seed, progress=progress)


def encode_cells(
    cells: Cells, encoder: Encoder, *, seed: int = 0, progress: Progress | None = None
) -> "AnnData":
    """Encode checked cells and write the slots into their AnnData object, which is returned.

    Parameters
    ----------
    cells
        Checked data; their AnnData object is changed.
    encoder
        What encodes them; its name is part of every slot.
    seed
        Of every random choice.
    progress
        Told how far it is.
    """

    write_slots(cells.adata, encoder.name, encoder.encode(cells, seed=seed, progress=progress))
    x = cells.adata.X
    if x is None or not is_integral(x.data if sparse.issparse(x) else np.asarray(x)):
        cells.adata.layers[slots.COUNTS_LAYER] = cells.counts
    return cells.adata
