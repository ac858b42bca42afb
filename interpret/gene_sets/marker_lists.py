"""Markers as a frame, as lists or as a ranking of scanpy, read for a question about gene sets."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Union

import pandas as pd

from ...encoders.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

Markers = Union[pd.DataFrame, Mapping[str, Sequence[str]], "AnnData"]
"""A row per marker, lists of genes by name, or cells with a ranking of scanpy."""


def read_markers(
    markers: Markers, universe: Sequence[str] | None, key: str
) -> tuple[pd.DataFrame, list[str] | None]:
    """Return a frame of markers, and the measured genes where they are known."""
    measured = None if universe is None else [str(gene) for gene in universe]
    if isinstance(markers, pd.DataFrame):
        return markers, measured
    if isinstance(markers, Mapping):
        rows = [(str(name), str(gene)) for name, genes in markers.items() for gene in genes]
        return pd.DataFrame(rows, columns=["group", "gene"], dtype=object), measured
    if not hasattr(markers, "uns"):
        message = (
            f"{type(markers).__name__} was given; expected a frame of markers, lists of genes by "
            "name, or an AnnData object; give a single list as {'mine': genes}."
        )
        raise InputError(message)
    if key not in markers.uns:
        message = (
            f"there is no {key!r} in uns; expected a ranking of scanpy's rank_genes_groups; run it "
            "first, or pass a frame of markers."
        )
        raise InputError(message)
    ranking: Any = markers.uns[key]
    columns = {"gene": "names", "score": "scores"}
    frames = [
        pd.DataFrame({to: ranking[slot][group] for to, slot in columns.items()}).assign(group=group)
        for group in ranking["names"].dtype.names
    ]
    # scanpy leaves out genes by taking away their names
    frame = pd.concat(frames, ignore_index=True).dropna(subset=["gene"])
    raw = bool(ranking.get("params", {}).get("use_raw")) and markers.raw is not None
    names = markers.raw.var_names if raw else markers.var_names
    return frame, measured or [str(name) for name in names]


def check_markers(
    frame: pd.DataFrame,
    measured: list[str] | None,
    *,
    ranked: bool,
    score: str | None,
    n_genes: int,
) -> None:
    needed = {"group", "gene"} | ({score} if score else set())
    missing = sorted(needed - set(frame.columns))
    whole = "gene" in frame and pd.api.types.is_integer_dtype(frame["gene"])
    given = ""
    if missing:
        given = f"the frame of markers has no column {', '.join(missing)}"
        action = f"its columns are {', '.join(map(str, frame.columns))}: rename or name one"
    elif ranked and score is None:
        given, action = "ranked=True was given without a score", "name its column by score="
    elif measured is None and (whole or not ranked):
        given = "no universe was given"
        action = "pass universe=adata.var_names, or wherever the markers were chosen from"
    elif whole and measured is not None and not frame["gene"].between(0, len(measured) - 1).all():
        given = f"positions of genes up to {frame['gene'].max()} were given for {len(measured)}"
        action = "pass the genes that the positions are counted in as universe"
    elif n_genes < 1:
        given, action = f"n_genes={n_genes} was given", "choose at least 1"
    if given:
        message = (
            f"{given}; expected a row per marker with group and gene, the measured genes, and a "
            f"score where ranked; {action}."
        )
        raise InputError(message)


def best_genes(rows: pd.DataFrame, score: str | None, n_genes: int) -> list[str]:
    if score is not None:
        rows = rows.sort_values(score, ascending=False, kind="stable")
    elif "rank" in rows:
        rows = rows.sort_values("rank", kind="stable")
    return [str(gene) for gene in rows["gene"].drop_duplicates().head(n_genes)]
