"""Labelled data sets, and the public ones that we report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from ..cells import Cells, prepare
from ..errors import InputError

UNKNOWN = ("unknown", "", "nan", "None")
"""Labels that mean that there is none."""


@dataclass(frozen=True)
class SetCard:
    """How a public data set is divided.

    Attributes
    ----------
    batch
        Column of ``obs`` whose values are left out one at a time; ``None``: random folds only.
    most
        Values left out at most, the first ones in sorted order; ``None`` for all.
    """

    batch: str | None = None
    most: int | None = None


SETS: Mapping[str, SetCard] = MappingProxyType(
    {
        "pancreas_three_studies": SetCard("batch"),
        "celllines_sc_mixology": SetCard("batch"),
        "blood_kang_ifnb": SetCard("condition"),
        "lr_blood_tonsil_204genes": SetCard("donor", most=5),
        "blood_pbmc3k": SetCard(),
        "brain_darmanis": SetCard(),
    }
)
"""File stem -> how the data set is divided."""


@dataclass(frozen=True)
class Labelled:
    """Checked cells with a label each.

    Attributes
    ----------
    name
        File stem.
    cells
        All cells, those without a label among them: encoders see them all.
    labels
        (n_cells,) label as text, empty where there is none.
    batch
        (n_cells,) batch as text; ``None`` when there is one batch or none is named.
    most
        Batches left out at most.
    """

    name: str
    cells: Cells
    labels: np.ndarray
    batch: np.ndarray | None = None
    most: int | None = None

    @property
    def known(self) -> np.ndarray:
        """Positions of the cells with a label."""
        return np.flatnonzero(self.labels != "")


def read_labelled(
    path: Path, *, label: str = "cell_type", batch: str | None = None, layer: str | None = None
) -> Labelled:
    """Read a data set.

    Parameters
    ----------
    path
        ``.h5ad`` file with raw counts.
    label
        Column of ``obs`` with the labels.
    batch
        Column of ``obs`` with the batch; when not given, that of :data:`SETS` for a file of that
        name.
    layer
        Where the counts are, ``X`` when not given.

    Raises
    ------
    InputError
        A column does not exist, there are fewer than two labels, or the counts are not usable (see
        :func:`~scypher.encoders.cells.prepare`).
    """
    cells = prepare(path, layer=layer)
    card = SETS.get(path.stem, SetCard())
    column = batch or card.batch
    labels = _column(cells, label, path, "--label")
    labels[np.isin(labels, UNKNOWN)] = ""
    found = set(labels) - {""}
    if len(found) < 2:
        message = (
            f"obs[{label!r}] of {path} has {len(found)} distinct labels; expected at least two to "
            "tell apart. Name another column (--label)."
        )
        raise InputError(message)
    batches = None if column is None else _column(cells, column, path, "--batch")
    if batches is not None and len(set(batches)) < 2:
        batches = None
    return Labelled(path.stem, cells, labels, batches, None if batch else card.most)


def find_files(data: Sequence[Path] | Path) -> list[Path]:
    """Return the files that are meant: those named, or of a folder those that :data:`SETS` has.

    A folder without any of these gives all its ``.h5ad`` files, sorted.

    Raises
    ------
    InputError
        A path does not exist, a folder has no ``.h5ad`` file, two files share a name, or nothing is
        given.
    """
    files: list[Path] = []
    for path in [data] if isinstance(data, Path) else list(data):
        if not path.is_dir():
            if not path.is_file():
                message = f"there is no file {path}; give .h5ad files, or a folder of them."
                raise InputError(message)
            files.append(path)
            continue
        inside = sorted(path.glob("*.h5ad"))
        if not inside:
            message = f"the folder {path} holds no .h5ad file; give files, or a folder of them."
            raise InputError(message)
        by_name = {item.stem: item for item in inside}
        files += [by_name[name] for name in SETS if name in by_name] or inside
    names = [path.stem for path in files]
    if not files or len(set(names)) < len(names):
        repeated = sorted({name for name in names if names.count(name) > 1})
        message = (
            f"data sets are told apart by the names of their files; given: {len(files)} files, "
            f"repeated: {', '.join(repeated) or 'none'}. Give one or more files, each name once."
        )
        raise InputError(message)
    return files


def _column(cells: Cells, name: str, path: Path, option: str) -> np.ndarray:
    obs = cells.adata.obs
    if name not in obs:
        message = (
            f"{path} has no obs[{name!r}]; there are: {', '.join(map(str, obs)) or 'none'}. Name "
            f"one of them ({option})."
        )
        raise InputError(message)
    return np.array([str(value) for value in obs[name]], dtype=object)
