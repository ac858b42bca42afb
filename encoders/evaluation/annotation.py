"""Cell types: how well they are told from an embedding, within and across batches."""

from collections.abc import Iterator, Sequence

import numpy as np

from .baselines import BASELINES, INPUTS
from .frame import Value
from .probes import Probe, linear_probe, mlp_probe, nearest_neighbours
from .sets import Labelled
from .splits import Fold, inter_folds, intra_folds

SPLITS = ("intra", "inter")


def folds_of(data: Labelled, split: str) -> list[Fold]:
    """Return the folds of a split (``intra`` or ``inter``) over the cells with a label.

    Positions are those among all cells; ``inter`` has none when there is one batch.
    """
    known = data.known
    if split == "intra":
        folds = intra_folds(data.labels[known])
    elif data.batch is None:
        folds = []
    else:
        folds = inter_folds(data.labels[known], data.batch[known], most=data.most)
    return [fold._replace(train=known[fold.train], test=known[fold.test]) for fold in folds]


def score(truth: np.ndarray, predicted: np.ndarray, types: np.ndarray) -> dict[str, float]:
    """Return accuracy, and the mean over types of F1 (0 for a type that is never met)."""
    from sklearn.metrics import f1_score

    f1 = f1_score(truth, predicted, labels=types, average="macro", zero_division=0)
    return {"accuracy": float((truth == predicted).mean()), "macro F1": float(f1)}


def probe_embedding(
    data: Labelled, embedding: np.ndarray, split: str, *, mlp_seeds: Sequence[int] = ()
) -> Iterator[Value]:
    """Yield accuracy and macro F1 of probes on a frozen embedding, fold by fold.

    Parameters
    ----------
    data
        Cells and labels.
    embedding
        (n_cells, width), made once from all cells without any label.
    split
        ``intra`` or ``inter``.
    mlp_seeds
        Seeds of the multilayer perceptron; without any it is left out.
    """
    probes: list[tuple[str, int, Probe]] = [
        ("linear probe", 0, linear_probe),
        ("kNN", 0, nearest_neighbours),
        *(("MLP", seed, mlp_probe(seed)) for seed in mlp_seeds),
    ]
    for fold in folds_of(data, split):
        if fold.note:
            yield Value("annotation", split, "macro F1", np.nan, fold=fold.name, note=fold.note)
            continue
        train, test = embedding[fold.train], embedding[fold.test]
        for name, seed, probe in probes:
            predicted = probe(train, data.labels[fold.train], test)
            yield from _values(data, fold, predicted, split=split, seed=seed, probe=name)


def probe_baselines(data: Labelled, split: str) -> dict[str, list[Value]]:
    """Return accuracy and macro F1 of every plain method, by its name.

    Each fits genes, components and classifier to the training cells of a fold.
    """
    found: dict[str, list[Value]] = {name: [] for name in BASELINES}
    for fold in folds_of(data, split):
        if fold.note:
            continue
        inputs = {what: make(data.cells, fold) for what, make in INPUTS.items()}
        for name, (what, probe) in BASELINES.items():
            train, test = inputs[what]
            predicted = probe(train, data.labels[fold.train], test)
            found[name] += _values(data, fold, predicted, split=split)
    return found


def _values(
    data: Labelled,
    fold: Fold,
    predicted: np.ndarray,
    *,
    split: str,
    seed: int = 0,
    probe: str = "",
) -> Iterator[Value]:
    for measure, value in score(data.labels[fold.test], predicted, fold.types).items():
        yield Value("annotation", split, measure, value, seed, fold.name, probe=probe)
