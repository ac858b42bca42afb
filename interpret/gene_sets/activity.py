"""How active a gene set, or the targets of a regulator, are in every single cell."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeGuard, cast

import numba
import numpy as np
import pandas as pd
import scipy.sparse as sp

from ...encoders.errors import InputError
from ..inputs import expression_chunks
from ..statistics import Floats
from .library import GeneSetLibrary, GeneSets, check_overlap, incidence, read_libraries

if TYPE_CHECKING:
    from anndata import AnnData

Weights = Mapping[str, Mapping[str, float]]
"""Name of a set -> gene -> weight, such as the sign of a regulator's effect."""

_ENTRIES_AT_ONCE = 4_000_000
_SMALL = 1e-12


def set_activity(
    values: sp.csr_matrix,
    library: GeneSetLibrary | Weights,
    genes: Sequence[str],
    *,
    method: Literal["ulm", "mean"] = "ulm",
    min_size: int = 5,
    max_size: int | None = None,
) -> pd.DataFrame:
    """Score every set in every cell.

    ``ulm``: the t value of the slope ``b`` in ``y = a + b x`` over all ``n`` genes of a cell,
    ``y`` the values and ``x`` the weights, 1 in the set and 0 outside (Badia-i-Mompel 2022,
    Bioinform Adv 2:vbac016): ``t = r sqrt((n - 2) / (1 - r^2))`` of the correlation ``r``.
    ``mean``: ``sum x y / sum |x|``. Genes of a cell depend on each other: t orders cells and sets,
    it is no test. Compare groups of cells with the donor as the unit.

    Parameters
    ----------
    values
        log1p of counts per 10,000, shape (n_cells, n_genes).
    library
        Gene sets, or weights of genes by set.
    genes
        Name of each column, each once.
    method
        ``ulm`` or ``mean``.
    min_size, max_size
        Measured genes (of a weight other than 0) that a set must have; no upper limit by default.

    Returns
    -------
    pandas.DataFrame
        float64, a row per cell, numbered from 0, and a column per set within the limits, in the
        order of the library. 0 for ``ulm`` in a cell where all values are equal.

    Raises
    ------
    InputError
        Names and columns disagree, a name is given twice, a value or weight is not finite, the
        library shares no gene with the data, or no set is within the limits.
    """
    from ...encoders.compiled import use_threads_of_torch

    names = [str(gene) for gene in genes]
    _check(values, names, method)
    sets, weights = _weights(library, names)
    sizes = np.diff(weights.indptr)
    most = len(names) if max_size is None else max_size
    kept = np.flatnonzero((sizes >= max(min_size, 1)) & (sizes <= most))
    if not len(kept):
        message = (
            f"no set has {min_size} to {most} of the {len(names)} genes (the largest has "
            f"{sizes.max()}); expected at least one; widen min_size and max_size."
        )
        raise InputError(message)
    weights = weights[kept]
    by_gene = weights.T.tocsr()
    activity = np.zeros((values.shape[0], len(kept)))
    use_threads_of_torch()
    matrix = values if values.has_sorted_indices else values.sorted_indices()
    step = max(1, _ENTRIES_AT_ONCE // len(kept))
    for start in range(0, len(activity), step):
        rows = slice(start, min(start + step, len(activity)))
        part, products = matrix[rows], activity[rows]
        _multiply(
            *(part.indptr, part.indices, part.data),
            *(by_gene.indptr, by_gene.indices, by_gene.data, products),
        )
        if method == "ulm":
            products[:] = _slopes(products, part, weights)
        else:
            products /= np.asarray(abs(weights).sum(axis=1)).ravel()
    return pd.DataFrame(activity, columns=np.array(sets, dtype=object)[kept])


def gene_set_activity(
    adata: "AnnData",
    gene_sets: GeneSets | Sequence[GeneSets] | Weights,
    *,
    method: Literal["ulm", "mean"] = "ulm",
    layer: str | None = None,
    totals: str | None = None,
    min_size: int = 5,
    max_size: int | None = None,
    key_added: str | None = None,
) -> pd.DataFrame:
    """Score every gene set in every cell; see :func:`set_activity`.

    Parameters
    ----------
    adata
        The cells; of a file opened with ``backed="r"`` some are read at a time.
    gene_sets
        Paths of GMT files, libraries, names of sets with their genes, or with genes and weights.
    method
        ``ulm`` or ``mean``.
    layer, totals
        As in :func:`~scypher.interpret.inputs.log_expression`.
    min_size, max_size
        Measured genes that a set must have.
    key_added
        Slot of ``obsm`` to write the frame to.

    Returns
    -------
    pandas.DataFrame
        Cells (``obs_names``) by sets, float64.

    Raises
    ------
    InputError
        As :func:`set_activity`; or two libraries have a set of the same name.
    """
    library = gene_sets if _weighted(gene_sets) else _joined(cast("GeneSets", gene_sets))
    names = [str(gene) for gene in adata.var_names]
    chunks = expression_chunks(adata, layer=layer, totals=totals)
    parts = [
        set_activity(values, library, names, method=method, min_size=min_size, max_size=max_size)
        for values in chunks.read()
    ]
    table = pd.concat(parts, ignore_index=True).set_index(pd.Index(adata.obs_names))
    if key_added is not None:
        adata.obsm[key_added] = table
    return table


def _weighted(given: object) -> TypeGuard[Weights]:
    return isinstance(given, Mapping) and all(isinstance(one, Mapping) for one in given.values())


def _joined(given: GeneSets | Sequence[GeneSets]) -> GeneSetLibrary:
    libraries = read_libraries(given)
    sets = [(name, found) for library in libraries for name, found in library.sets.items()]
    names = pd.Series([name for name, _ in sets])
    if names.duplicated().any():
        message = (
            f"the sets {', '.join(names[names.duplicated()].unique()[:5])} are in several "
            "libraries; expected names that are different, one column each; score the libraries "
            "one after the other."
        )
        raise InputError(message)
    return GeneSetLibrary(", ".join(one.name for one in libraries), "", dict(sets))


def _weights(
    library: GeneSetLibrary | Weights, genes: list[str]
) -> tuple[list[str], sp.csr_matrix]:
    if isinstance(library, GeneSetLibrary):
        check_overlap(library, genes)
        members = [members for _, members in library.sets.values()]
        return list(library.sets), incidence(members, genes).astype(np.float64)
    sets = {str(name): ("", tuple(map(str, given))) for name, given in library.items()}
    check_overlap(GeneSetLibrary("given", "", sets), genes)
    lengths = [len(given) for given in library.values()]
    row = np.repeat(np.arange(len(sets)), lengths)
    names = [str(gene) for given in library.values() for gene in given]
    column = pd.Index(np.array(genes, dtype=object)).get_indexer(
        pd.Index(np.array(names, dtype=object))
    )
    weight = np.array([w for given in library.values() for w in given.values()], dtype=np.float64)
    if not np.isfinite(weight).all():
        message = (
            f"{int((~np.isfinite(weight)).sum())} weights that are not finite were given; expected "
            "a number for each gene of a set; leave those genes out."
        )
        raise InputError(message)
    found = (column >= 0) & (weight != 0)
    shape = (len(sets), len(genes))
    return list(sets), sp.csr_matrix((weight[found], (row[found], column[found])), shape=shape)


def _check(values: sp.csr_matrix, genes: list[str], method: str) -> None:
    given = ""
    if len(genes) != values.shape[1]:
        given = f"{len(genes)} names for {values.shape[1]} columns of values"
        action = "name every column"
    elif len(set(genes)) < len(genes):
        given = f"gene names of which {len(genes) - len(set(genes))} are given before"
        action = "make them unique (adata.var_names_make_unique())"
    elif len(genes) < 3:
        given, action = f"{len(genes)} genes", "pass all measured genes"
    elif method not in ("ulm", "mean"):
        given, action = f"the method {method!r}", "choose ulm or mean"
    elif not np.isfinite(values.data).all():
        given, action = "values that are not finite", "leave those genes or cells out"
    if given:
        message = (
            f"{given} were given; expected finite values of at least 3 genes, each with a name of "
            f"its own, and a known method; {action}."
        )
        raise InputError(message)


def _slopes(products: Floats, part: sp.csr_matrix, weights: sp.csr_matrix) -> Floats:
    """Return t of the slopes from the products of weights and values."""
    n = part.shape[1]
    values = part.astype(np.float64)
    y, yy = _sums(values)
    x, xx = _sums(weights)
    varies_y, varies_x = n * yy - y**2, n * xx - x**2
    # a variance this small is what rounding leaves of none
    varies_y[varies_y <= _SMALL * n * yy] = 0
    varies_x[varies_x <= _SMALL * n * xx] = 0
    spread = np.sqrt(varies_y)[:, None] * np.sqrt(varies_x)
    r = np.divide(
        n * products - y[:, None] * x, spread, out=np.zeros(spread.shape), where=spread > 0
    )
    t: Floats = r * np.sqrt((n - 2) / np.maximum(1 - r**2, np.finfo(np.float64).eps))
    return t


def _sums(matrix: sp.csr_matrix) -> tuple[Floats, Floats]:
    square = matrix.copy()
    square.data = square.data**2
    return np.asarray(matrix.sum(axis=1)).ravel(), np.asarray(square.sum(axis=1)).ravel()


@numba.njit(cache=True, parallel=True)
def _multiply(
    indptr: Any, genes: Any, values: Any, starts: Any, sets: Any, weights: Any, out: Any
) -> None:
    """Add up value times weight per cell and set; both sparse, the result dense."""
    for cell in numba.prange(len(indptr) - 1):
        for entry in range(indptr[cell], indptr[cell + 1]):
            gene, value = genes[entry], np.float64(values[entry])
            for one in range(starts[gene], starts[gene + 1]):
                out[cell, sets[one]] += value * weights[one]
