"""The demo: 700 blood cells that come with scanpy, through the whole of the main job."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..encoders.base import Progress
from ..encoders.errors import InputError
from .gene_sets.library import immune_textbook

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class Demo:
    """Where the demo put things, what it had to say, and commands to try."""

    graph: Path
    report: Path
    notes: list[str]
    commands: list[str]


def demo_cells() -> "AnnData":
    """Return 700 peripheral blood cells with 765 genes and ten labels (Zheng et al. 2017).

    They are ``scanpy.datasets.pbmc68k_reduced()``, part of scanpy, so no network is needed. Its
    ``raw`` holds log1p of scaled counts, from which counts are recovered.
    """
    with warnings.catch_warnings():
        # The file was written by an old anndata, which scanpy's reader remarks on.
        warnings.simplefilter("ignore")
        import scanpy as sc

        cells: AnnData = sc.datasets.pbmc68k_reduced()
    return cells


def run_demo(out: Path, progress: Progress) -> Demo:
    """Build graph and report of the demo cells in a folder."""
    from ..kg.stores import open_store
    from .options import Options
    from .pipeline import build
    from .report import write_report

    if out.exists() and not out.is_dir():
        message = f"{out} is a file; the demo needs a folder. Name another by --out."
        raise InputError(message)
    out.mkdir(parents=True, exist_ok=True)
    graph, report = out / "pbmc.kg", out / "report.html"
    options = Options(
        layer="raw", columns={"cell_type": "bulk_labels"}, gene_sets=(immune_textbook(),)
    )
    result = build(
        demo_cells(), graph=graph, name="pbmc68k_reduced", options=options, progress=progress
    )
    progress("report", 0, 1)
    with open_store(graph) as store:
        write_report(store, report)
    progress("report", 1, 1)
    commands = [
        f"scypher query markers --graph {graph} --param 'group=CD19+ B'",
        f"scypher query state_enrichment --graph {graph} --param group=S1",
        f"scypher explain --graph {graph} --state S1",
    ]
    return Demo(graph, report, result.notes, commands)
