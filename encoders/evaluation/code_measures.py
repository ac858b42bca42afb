"""What cell codes are worth: usage, agreement with labels, and the groups they make."""

from collections.abc import Iterator

import numpy as np

from ..base import Encoding
from ..codes import perplexity
from .frame import Value
from .merging import merge_codes


def measure_codes(
    encoding: Encoding, labels: np.ndarray, batch: np.ndarray | None, n_groups: int
) -> Iterator[Value]:
    """Yield the measures of the codes of an encoding.

    Active codes and their perplexity; of the cells with a label, purity and normalised mutual
    information of codes and of ``n_groups`` groups of codes; batch mixing, see
    :func:`batch_mixing`, where there are batches.

    Parameters
    ----------
    encoding
        Codes and codebook of all cells.
    labels
        (n_cells,) label, empty where there is none.
    batch
        (n_cells,) batch, or ``None``.
    n_groups
        Groups into which the codes are merged, see :func:`~.merging.merge_codes`.
    """
    from sklearn.metrics import normalized_mutual_info_score

    known = labels != ""
    groups = merge_codes(encoding.code, encoding.codebook, n_groups)
    mixing = None if batch is None else batch_mixing(encoding.code, batch)
    found = {
        "active codes": len(np.unique(encoding.code)),
        "perplexity": perplexity(encoding.code),
        "purity": purity(encoding.code[known], labels[known]),
        "NMI of codes": normalized_mutual_info_score(labels[known], encoding.code[known]),
        "NMI of merged codes": normalized_mutual_info_score(labels[known], groups[known]),
    }
    for measure, value in found.items():
        yield Value("codes", "all", measure, float(value))
    if mixing is not None:
        yield Value("codes", "all", "batch mixing", mixing)


def purity(groups: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of cells with the most frequent label of their group, (0, 1].

    Grows with the number of groups: compare it at like numbers only.

    Examples
    --------
    >>> purity(np.array([0, 0, 0, 1]), np.array(["a", "a", "b", "b"]))
    0.75
    """
    from sklearn.metrics.cluster import contingency_matrix

    table = contingency_matrix(labels, groups, sparse=True)
    return float(table.max(axis=0).toarray().sum() / len(labels))


def batch_mixing(groups: np.ndarray, batch: np.ndarray) -> float | None:
    r"""Return the entropy of batches within groups over their entropy overall, [0, 1].

    .. math:: \sum_k \frac{n_k}{n} H(\mathrm{batch} \mid k) \,/\, H(\mathrm{batch})

    1 means that groups know nothing of batches, as they should where batches hold the same cells.
    ``None`` when there is one batch.
    """
    from sklearn.metrics import mutual_info_score

    share = np.unique(batch, return_counts=True)[1] / len(batch)
    overall = float(-(share * np.log(share)).sum())
    if len(share) < 2:
        return None
    return float(np.clip(1 - mutual_info_score(batch, groups) / overall, 0, 1))
