"""Evaluate encoders on data sets: the verb, and what is done on one data set."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..base import Encoding, Progress
from ..errors import InputError
from ..leiden import leiden
from ..registry import find_encoder, get_encoder
from .annotation import SPLITS, probe_baselines, probe_embedding
from .clustering import cluster
from .code_measures import measure_codes
from .communities import neighbour_graph
from .frame import Value, join, to_frame
from .integration import integrate
from .reconstruction import published, reconstruct_expression
from .sets import Labelled, find_files, read_labelled

TASKS = (*SPLITS, "clustering", "codes", "integration", "reconstruction")
QUICK_TASKS = ("intra", "inter", "clustering", "codes")

MANY_CELLS = 10_000
"""Labelled cells above which the multilayer perceptron is trained with one seed only."""

COMPONENTS = "50 PCs"
"""Name of the baseline of everything that needs an embedding of all cells."""


def evaluate(
    data: Sequence[Path] | Path,
    *,
    encoders: Sequence[str],
    seeds: int = 5,
    tasks: Sequence[str] | None = None,
    quick: bool = False,
    out: Path | None = None,
    label: str = "cell_type",
    batch: str | None = None,
    layer: str | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Evaluate encoders and plain methods on labelled data sets.

    Every encoder sees all cells of a data set once, without labels; what is learned from labels is
    learned from the training cells of a fold. Encoders that can fit themselves to the cells have
    rows for both ways, ``NAME`` and ``NAME adapted``. An encoder that cannot read a data set has a
    row that says why.

    Parameters
    ----------
    data
        ``.h5ad`` files with raw counts, or a folder of them.
    encoders
        Specifications as in :func:`~scypher.encoders.registry.find_encoder`.
    seeds
        Repetitions of what depends on chance: the multilayer perceptron (one alone for more than
        10,000 cells), Leiden.
    tasks
        Some of :data:`TASKS`; all when not given.
    quick
        One seed, no multilayer perceptron, and only :data:`QUICK_TASKS` unless tasks are given.
    out
        Folder for table and figure, see :func:`~scypher.encoders.evaluation.table.write_tables`;
        it is made when it does not exist. Nothing is written when not given.
    label, batch, layer
        See :func:`~scypher.encoders.evaluation.sets.read_labelled`.
    progress
        Told how far it is.

    Returns
    -------
    DataFrame
        One row per measured value with the columns of :data:`~.frame.COLUMNS`.

    Raises
    ------
    InputError
        A file, column, task or encoder does not exist, or a data set has no usable counts.
    """
    chosen = tuple(tasks or (QUICK_TASKS if quick else TASKS))
    _check(chosen, encoders, seeds)
    files = find_files(data)
    repeats = range(1 if quick else seeds)
    told = progress or (lambda what, done, total: None)
    steps = len(files) * (len(encoders) + 1)
    frames = []
    for number, path in enumerate(files):
        labelled = read_labelled(path, label=label, batch=batch, layer=layer)
        known: dict[str, Encoding] = {}
        for place, spec in enumerate(encoders):
            told("evaluating", number * (len(encoders) + 1) + place, steps)
            try:
                known |= encode_both(labelled, spec, progress=told)
            except InputError as error:
                note = Value("encode", "all", "encoded", float("nan"), note=str(error))
                frames.append(to_frame([note], dataset=labelled.name, encoder=spec))
        mlp_seeds = () if quick else mlp_repeats(labelled, seeds)
        frames += measure(labelled, known, tasks=chosen, seeds=repeats, mlp_seeds=mlp_seeds)
    told("evaluating", steps, steps)
    frame = join(frames)
    if out is not None:
        from .table import write_tables

        write_tables(frame, out)
    return frame


def mlp_repeats(data: Labelled, seeds: int) -> range:
    """Return the seeds of the multilayer perceptron: one alone for many cells."""
    return range(1 if len(data.known) > MANY_CELLS else seeds)


def encode_both(
    data: Labelled, spec: str, *, progress: Progress | None = None
) -> dict[str, Encoding]:
    """Return the encodings of one encoder by name: as it is and, where it can, adapted.

    An encoder can adapt when its parameters say whether it did.
    """
    plain = get_encoder(spec, adapt=False).encode(data.cells, progress=progress)
    found = {spec: plain}
    if "adapt" in plain.parameters:
        adapted = get_encoder(spec, adapt=True)
        found[f"{spec} adapted"] = adapted.encode(data.cells, progress=progress)
    return found


def measure(
    data: Labelled,
    encodings: Mapping[str, Encoding],
    *,
    tasks: Sequence[str] = TASKS,
    seeds: Sequence[int] = (0,),
    mlp_seeds: Sequence[int] = (),
) -> list[pd.DataFrame]:
    """Return the rows of encodings of one data set, and of the plain methods beside them.

    Parameters
    ----------
    data
        The data set.
    encodings
        Name -> encoding of all its cells.
    tasks
        Some of :data:`TASKS`.
    seeds, mlp_seeds
        Of Leiden; of the multilayer perceptron, which is left out without any.
    """
    frames = []
    splits = [task for task in tasks if task in SPLITS]
    for split in splits:
        for name, found in probe_baselines(data, split).items():
            frames.append(to_frame(found, dataset=data.name, encoder=name, baseline=True))
    components = _components(data) if {"clustering", "codes", "integration"} & set(tasks) else None
    n_groups = 0
    if components is not None:
        groups = leiden(neighbour_graph(components))
        n_groups = len(np.unique(groups))
        plain = [
            *_unsupervised(data, components, tasks, seeds),
            *(_leiden_as_codes(data, groups) if "codes" in tasks else ()),
        ]
        frames.append(to_frame(plain, dataset=data.name, encoder=COMPONENTS, baseline=True))
    for name, encoding in encodings.items():
        values: list[Value] = []
        for split in splits:
            values += probe_embedding(data, encoding.embedding, split, mlp_seeds=mlp_seeds)
        values += _unsupervised(data, encoding.embedding, tasks, seeds)
        if "codes" in tasks:
            values += measure_codes(encoding, data.labels, data.batch, n_groups)
        seen = _seen(data.name, encoding)
        frames.append(to_frame(values, dataset=data.name, encoder=name, seen=seen))
    if "reconstruction" in tasks:
        frames += _reconstruction(data)
    return frames


def _unsupervised(
    data: Labelled, embedding: np.ndarray, tasks: Sequence[str], seeds: Sequence[int]
) -> Iterator[Value]:
    known = data.known
    if "clustering" in tasks:
        yield from cluster(embedding[known], data.labels[known], seeds)
    if "integration" in tasks:
        batch = None if data.batch is None else data.batch[known]
        yield from integrate(embedding[known], data.labels[known], batch)


def _leiden_as_codes(data: Labelled, groups: np.ndarray) -> Iterable[Value]:
    """Return what stands beside merged codes: as many groups, but made from all components."""
    from sklearn.metrics import normalized_mutual_info_score

    known = data.known
    nmi = normalized_mutual_info_score(data.labels[known], groups[known])
    return [Value("codes", "all", "NMI of merged codes", float(nmi))]


def _reconstruction(data: Labelled) -> list[pd.DataFrame]:
    frames = []
    for words, values in reconstruct_expression(data.cells).items():
        frames.append(to_frame(values, dataset=data.name, encoder=f"cell sentences, {words}"))
        name = f"published, {words} (other data)"
        frames.append(to_frame(published(words), dataset=data.name, encoder=name, baseline=True))
    return frames


def _components(data: Labelled) -> np.ndarray:
    from ..foreign import principal_components

    return principal_components(data.cells.counts, data.cells.totals).scores


def _seen(name: str, encoding: Encoding) -> bool | None:
    trained_on = encoding.parameters.get("trained_on")
    return None if trained_on is None else name in [str(item) for item in trained_on]


def _check(tasks: Sequence[str], encoders: Sequence[str], seeds: int) -> None:
    unknown = [task for task in tasks if task not in TASKS]
    if unknown:
        message = f"there is no task {', '.join(unknown)}; name some of: {', '.join(TASKS)}."
        raise InputError(message)
    if seeds < 1:
        message = f"{seeds} seeds were asked for; expected at least 1. Leave it out for 5."
        raise InputError(message)
    if not encoders:
        message = "no encoder was named; expected one or more, such as cellvq or pca. Name some."
        raise InputError(message)
    for spec in encoders:
        find_encoder(spec)
