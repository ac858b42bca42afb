"""How far each method of finding links agrees with a resource of regulons, side by side."""

from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from ...encoders.errors import InputError
from ..modules.associations import Measure, associate
from ..statistics import Floats, Ints
from .links import measured_links, network_genes
from .regulons import Regulons

_COUNTS = ("method", "n_sources", "n_targets", "n_pairs", "n_links")
_MAX_CELLS = 2_000


def network_agreement(
    expression: sp.csr_matrix,
    regulons: Regulons,
    *,
    names: list[str],
    rng: np.random.Generator,
    strata: NDArray[Any] | None = None,
    donors: Ints | None = None,
    attention: sp.csr_matrix | None = None,
    gene_vectors: NDArray[np.floating[Any]] | None = None,
    max_genes: int = 2_000,
    max_targets: int = 200,
) -> pd.DataFrame:
    """Compare correlation, metacells, trees, and where given attention and gene vectors.

    All methods rank the same pairs: every factor of the resource with at most ``max_targets``
    random targets. Undirected measures give both directions the same score. The columns are those
    of :func:`resource_agreement`; methods are ``correlation``, ``metacell``, ``attention``,
    ``embedding``, ``context``, ``trees`` (:func:`tree_importance`) and ``out-degree``.

    Parameters
    ----------
    expression
        log1p of counts per 10,000, shape (n_cells, n_genes).
    regulons
        The resource.
    names
        Names of the genes.
    rng
        Source of targets, cells, metacells and trees.
    strata, donors, gene_vectors
        See :func:`~scypher.interpret.modules.associations.associate`.
    attention
        Attention of cells to genes, absent = 0, shape of ``expression``.
    max_genes
        Genes of the resource to rank, those detected in most cells.
    max_targets
        Targets to explain.

    Raises
    ------
    InputError
        No link, or nothing but links, is among the genes, or shapes disagree.
    """
    genes = network_genes(expression, regulons, names, most=max_genes)
    links = measured_links(genes, regulons, names)
    sources = np.unique(links["row"].to_numpy(dtype=np.int64))
    targets = np.unique(links["column"].to_numpy(dtype=np.int64))
    if len(targets) > max_targets:
        targets = np.sort(rng.choice(targets, max_targets, replace=False))
    scores: dict[str, NDArray[np.floating[Any]]] = {}
    for measure in get_args(Measure):
        matrix = attention if measure in ("attention", "context") else expression
        if matrix is None or (measure in ("embedding", "context") and gene_vectors is None):
            continue
        scores[measure] = associate(
            measure,
            matrix,
            genes=genes,
            rng=rng,
            strata=strata,
            donors=donors,
            gene_vectors=gene_vectors,
            n_permutations=1,
        ).weight
    scores["trees"] = tree_importance(expression, genes, sources=sources, targets=targets, rng=rng)
    return resource_agreement(scores, genes, regulons, names=names, targets=targets)


def resource_agreement(
    scores: Mapping[str, NDArray[np.floating[Any]]],
    genes: Ints,
    regulons: Regulons,
    *,
    names: list[str],
    targets: Ints | None = None,
) -> pd.DataFrame:
    """Return how well scores of pairs rank the links of a resource, methods side by side.

    Ranked are all pairs of a factor and a target of the resource among ``genes``, by decreasing
    absolute score; links are the true ones. Beside the methods stands ``out-degree``, which ranks
    a pair by how many links its factor has in the resource: what a method must beat to say
    anything about targets. A resource is incomplete: precision is a lower bound.

    Parameters
    ----------
    scores
        Method -> (n, n) scores of the pairs of ``genes``, factor in rows, target in columns; NaN
        counts as 0.
    genes
        (n,) positions of the genes.
    regulons
        The resource.
    names
        Names of all genes, in the order that positions refer to.
    targets
        Places among ``genes`` of the targets to ask about; all targets without.

    Returns
    -------
    pandas.DataFrame
        One row per method, in the order given, then ``out-degree``: ``method``, ``n_sources``,
        ``n_targets``, ``n_pairs``, ``n_links``, ``auprc`` (average precision), ``auprc_ratio``
        (over the share of links), ``early_precision`` (share of links among the ``n_links``
        highest), ``early_ratio``, ``auroc``.

    Raises
    ------
    InputError
        No link, or nothing but links, is among the genes, or scores have another shape.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    table = measured_links(genes, regulons, names)
    if targets is not None:
        table = table[table["column"].isin(targets)]
    rows, columns = np.unique(table["row"]), np.unique(table["column"])
    truth = np.zeros((len(rows), len(columns)), dtype=bool)
    at = np.searchsorted(rows, table["row"]), np.searchsorted(columns, table["column"])
    truth[at] = True
    possible = rows[:, None] != columns
    linked = truth[possible]
    # with no link at all this holds as well
    if linked.all():
        message = (
            f"all {linked.size} pairs of the {len(rows)} factors and {len(columns)} targets among "
            "the genes are links; expected pairs without a link to compare with; give more genes."
        )
        raise InputError(message)
    wrong = [name for name, score in scores.items() if score.shape != (len(genes), len(genes))]
    if wrong:
        message = (
            f"scores of {', '.join(wrong)} have another shape than ({len(genes)}, {len(genes)}); "
            "expected one score for each pair of genes; give square arrays."
        )
        raise InputError(message)
    degree = np.broadcast_to(truth.sum(axis=1, keepdims=True).astype(float), truth.shape)
    ranked = {
        name: np.abs(np.nan_to_num(score[np.ix_(rows, columns)])) for name, score in scores.items()
    }
    share, n_links = float(linked.mean()), int(linked.sum())
    told = []
    for name, square in {**ranked, "out-degree": degree}.items():
        score = square[possible]
        area = float(average_precision_score(linked, score))
        early = _early_precision(score, linked, n_links)
        auroc = float(roc_auc_score(linked, score))
        counts = (name, len(rows), len(columns), linked.size, n_links)
        told.append((*counts, area, area / share, early, early / share, auroc))
    columns_of = (*_COUNTS, "auprc", "auprc_ratio", "early_precision", "early_ratio", "auroc")
    return pd.DataFrame(told, columns=list(columns_of))


def tree_importance(
    expression: sp.csr_matrix,
    genes: Ints,
    *,
    sources: Ints,
    targets: Ints,
    rng: np.random.Generator,
) -> Floats:
    """Return how much trees use each factor to predict each target: (n_genes, n_genes).

    As in GENIE3 (Huynh-Thu 2010, PLoS ONE 5:e12776): the standardised log expression of a target
    is regressed on that of all factors but itself by 50 extremely randomised trees of depth 6, and
    the importance of a factor is the variance it explains. At most 2,000 random cells are used.

    Parameters
    ----------
    expression
        log1p of counts per 10,000, shape (n_cells, n_genes).
    genes
        Positions of the genes that rows and columns of the result stand for.
    sources, targets
        Places, among ``genes``, of the factors and of the targets to explain; other pairs are 0.
    rng
        Source of the cells and the trees.
    """
    from sklearn.ensemble import ExtraTreesRegressor

    n_cells = expression.shape[0]
    cells = np.sort(rng.choice(n_cells, min(n_cells, _MAX_CELLS), replace=False))
    values = expression[cells][:, genes].toarray().astype(np.float32)
    values -= values.mean(axis=0)
    values /= np.maximum(values.std(axis=0), 1e-6)
    found: Floats = np.zeros((len(genes), len(genes)))
    for target in targets:
        others = sources[sources != target]
        if not len(others):
            continue
        trees = ExtraTreesRegressor(
            n_estimators=50,
            max_depth=6,
            max_features="sqrt",
            min_samples_leaf=5,
            random_state=int(rng.integers(2**31)),
        ).fit(values[:, others], values[:, target])
        found[others, target] = trees.feature_importances_
    return found


def _early_precision(score: Floats, linked: NDArray[np.bool_], n: int) -> float:
    """Return the expected share of links among the n highest scores, ties in random order."""
    least = np.partition(score, len(score) - n)[len(score) - n]
    above, tied = score > least, score == least
    rest = (n - above.sum()) * linked[tied].mean()
    return float((linked[above].sum() + rest) / n)
