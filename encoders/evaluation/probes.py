"""Classifiers on a frozen embedding."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

Probe = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""Called with training values, training labels and test values; returns the predicted labels."""

N_NEIGHBOURS = 15


def linear_probe(
    train: np.ndarray, labels: np.ndarray, test: np.ndarray, *, strength: float = 0.1
) -> np.ndarray:
    """Return the labels that a multinomial logistic regression predicts.

    Parameters
    ----------
    train, test
        (n, width), standardised here by mean and deviation of the training cells.
    labels
        (n_train,) labels.
    strength
        Inverse of the L2 penalty (``C`` of scikit-learn), at most 500 steps of L-BFGS.
    """
    from sklearn.linear_model import LogisticRegression

    train, test = standardise(train, test)
    model = LogisticRegression(C=strength, max_iter=500)
    return _fit_predict(model, train, labels, test)


def linear_svm(
    train: np.ndarray, labels: np.ndarray, test: np.ndarray, *, strength: float = 0.01
) -> np.ndarray:
    """Return the labels that linear support vector machines, one against the rest, predict.

    The parameters are those of :func:`linear_probe`.
    """
    from sklearn.svm import LinearSVC

    train, test = standardise(train, test)
    # One optimum, two ways to it: the dual is many times faster unless cells are far more.
    dual = len(train) < 10 * train.shape[1]
    return _fit_predict(LinearSVC(C=strength, dual=dual, random_state=0), train, labels, test)


def nearest_neighbours(
    train: np.ndarray, labels: np.ndarray, test: np.ndarray, *, k: int = N_NEIGHBOURS
) -> np.ndarray:
    """Return the most frequent label among the ``k`` nearest training cells (Euclidean)."""
    from sklearn.neighbors import KNeighborsClassifier

    model = KNeighborsClassifier(min(k, len(train)))
    return _fit_predict(model, train, labels, test)


def standardise(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both with mean 0 and deviation 1 of each training column; constant ones become 0."""
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    deviation = np.where(deviation > 1e-6, deviation, 1)
    return (train - mean) / deviation, (test - mean) / deviation


def mlp_probe(seed: int) -> Probe:
    """Return the multilayer perceptron of :mod:`~scypher.encoders.evaluation.mlp` for a seed."""
    from .mlp import mlp

    return partial(mlp, seed=seed)


def _fit_predict(
    model: "ClassifierMixin", train: np.ndarray, labels: np.ndarray, test: np.ndarray
) -> np.ndarray:
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # The protocol stops after a number of steps; what was reached then is the answer.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(train, labels)
    return np.asarray(model.predict(test))
