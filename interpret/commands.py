"""Commands of the main job: build a graph, write its report, see it on demo data."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..encoders.console import Steps, say
from ..encoders.errors import InputError

if TYPE_CHECKING:
    from .pipeline import BuildResult


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(demo)
    app.command()(build)
    app.command()(refresh)
    app.command()(report)
    app.command()(explain)


def build(
    data: Annotated[
        list[Path], typer.Argument(metavar="IN.h5ad…", help="Cells with raw counts or encoded.")
    ],
    graph: Annotated[str, typer.Option(metavar="GRAPH", help="Path or address of the graph.")],
    *,
    encoder: Annotated[
        str, typer.Option(metavar="NAME|DIR", help="Encoder, or folder with its weights.")
    ] = "cellvq",
    layer: Annotated[
        str | None, typer.Option(help="Layer with raw counts, or 'raw'; X when not given.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Column with cell types; 'cell_type' if there is one.")
    ] = None,
    donor: Annotated[
        str | None, typer.Option(help="Column with donors; 'donor' if there is one.")
    ] = None,
    batch: Annotated[
        str | None, typer.Option(help="Column with batches; 'batch' if there is one.")
    ] = None,
    condition: Annotated[
        str | None, typer.Option(help="Column with conditions; 'condition' if there is one.")
    ] = None,
    gene_sets: Annotated[
        list[Path] | None,
        typer.Option("--gene-sets", metavar="FILE.gmt", help="Gene sets; may be repeated."),
    ] = None,
    ligand_receptor: Annotated[
        Path | None,
        typer.Option(metavar="FILE.tsv", help="Ligands and receptors, for communication."),
    ] = None,
    regulons: Annotated[
        list[Path] | None,
        typer.Option("--regulons", metavar="FILE.tsv", help="Regulators and targets; repeatable."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Key of the data set; the file name by default.")
    ] = None,
    adapt: Annotated[bool, typer.Option(help="Fit the encoder briefly to these cells.")] = True,
    attention: Annotated[
        Literal["hetero", "clique"],
        typer.Option(help="Graph attention, or attention within every cell as released."),
    ] = "hetero",
    faithfulness: Annotated[
        bool, typer.Option(help="Test what the attention of the graph explains.")
    ] = True,
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
) -> None:
    """Build a graph with evidence from cells, or add them to one."""
    from .options import Options
    from .pipeline import build

    if name is not None and len(data) > 1:
        message = f"--name {name} was given with {len(data)} files; name one file at a time."
        raise InputError(message)
    options = Options(
        encoder=encoder,
        layer=layer,
        columns={"cell_type": label, "donor": donor, "batch": batch, "condition": condition},
        gene_sets=tuple(gene_sets or ()),
        ligand_receptor=ligand_receptor,
        regulons=tuple(regulons or ()),
        adapt=adapt,
        attention=attention,
        faithfulness=faithfulness,
        seed=seed,
    )
    for path in data:
        with Steps() as steps:
            result = build(path, graph=graph, name=name, options=options, progress=steps)
        _say_result(result, graph)


def refresh(
    data: Annotated[
        Path, typer.Argument(metavar="IN.h5ad", help="The file that the data set was built from.")
    ],
    graph: Annotated[str, typer.Option(metavar="GRAPH", help="Path or address of the graph.")],
    *,
    dataset: Annotated[
        str | None, typer.Option(metavar="KEY", help="Data set; the file name by default.")
    ] = None,
    gene_sets: Annotated[
        list[Path] | None,
        typer.Option("--gene-sets", metavar="FILE.gmt", help="Those it was built with."),
    ] = None,
    ligand_receptor: Annotated[
        Path | None, typer.Option(metavar="FILE.tsv", help="That it was built with.")
    ] = None,
    regulons: Annotated[
        list[Path] | None,
        typer.Option("--regulons", metavar="FILE.tsv", help="Those it was built with."),
    ] = None,
) -> None:
    """Build a data set again as it was built, without the donors that were removed."""
    from .refresh import refresh

    with Steps() as steps:
        result = refresh(
            data,
            graph=graph,
            dataset=dataset,
            gene_sets=tuple(gene_sets or ()),
            ligand_receptor=ligand_receptor,
            regulons=tuple(regulons or ()),
            progress=steps,
        )
    _say_result(result, graph)


def report(
    graph: Annotated[str, typer.Option(metavar="GRAPH", help="Path or address of the graph.")],
    out: Annotated[Path, typer.Option(metavar="FILE.html", help="File to write.")],
    *,
    dataset: Annotated[
        str | None, typer.Option(help="Data set to report on, if there are several.")
    ] = None,
) -> None:
    """Write the report of a graph as one HTML file that opens offline."""
    from ..kg.stores import open_store
    from .report import write_report

    with open_store(graph) as store:
        write_report(store, out, dataset=dataset)
    say(f"report: {out}")


def explain(
    graph: Annotated[str, typer.Option(metavar="GRAPH", help="Path or address of the graph.")],
    *,
    cell: Annotated[
        str | None, typer.Option(metavar="KEY", help="Key or barcode of a cell.")
    ] = None,
    state: Annotated[
        str | None, typer.Option(metavar="KEY", help="Key or name of a state, such as S1.")
    ] = None,
    dataset: Annotated[
        str, typer.Option(metavar="KEY", help="Data set, if several hold that name.")
    ] = "",
    genes: Annotated[int, typer.Option(min=1, help="Best genes to tell of.")] = 10,
) -> None:
    """Tell all that a graph knows of a cell or a state, each claim with its evidence."""
    if (cell is None) == (state is None):
        given = "neither --cell nor" if cell is None else "both --cell and"
        message = f"{given} --state was given; one of them was expected: name a cell or a state."
        raise InputError(message)
    from .explanation.explain import explain_cell, explain_state

    if cell is not None:
        told = explain_cell(graph, cell, dataset=dataset, n_genes=genes)
    else:
        told = explain_state(graph, str(state), dataset=dataset, n_genes=genes)
    typer.echo(told.to_markdown(), nl=False)


def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for graph and report.")] = Path(
        "demo"
    ),
) -> None:
    """Build and report the demo: 700 blood cells that come with scanpy."""
    from .demo import run_demo

    with Steps() as steps:
        made = run_demo(out, steps)
    for note in made.notes:
        say(note)
    typer.echo(f"graph:  {made.graph}")
    typer.echo(f"report: {made.report}")
    typer.echo("try:")
    for command in made.commands:
        typer.echo(f"  {command}")


def _say_result(result: "BuildResult", graph: str) -> None:
    for note in result.notes:
        say(note)
    done = "written to" if result.written.changed else "nothing to change in"
    say(f"{result.dataset}: {done} {graph}")
