"""Commands that take a graph elsewhere: AnnData, tables, or files for a bulk import into Neo4j."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from ..encoders.console import say
from ..encoders.errors import InputError

Graph = Annotated[str, typer.Option("--graph", metavar="GRAPH", help="Path or address.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(export)
    app.command()(adopt)


def export(
    graph: Graph,
    out: Annotated[Path, typer.Option(metavar="PATH", help="File (h5ad) or new folder to write.")],
    *,
    form: Annotated[
        Literal["h5ad", "parquet", "neo4j-import"],
        typer.Option("--format", help="AnnData, one table a file, or CSV for neo4j-admin."),
    ] = "h5ad",
    version: Annotated[
        int, typer.Option(metavar="N", help="Version to take; the current one by default.")
    ] = -1,
) -> None:
    """Take a graph elsewhere, without loss."""
    if out.exists() and (out.is_file() or any(out.iterdir())):
        message = f"{out} holds something already; a new path was expected. Give another one."
        raise InputError(message)
    from .stores import open_store

    with open_store(graph) as store:
        tables = store.graph(version)
    if form == "neo4j-import":
        from .stores.neo4j_import import write_import_files

        files = write_import_files(tables, out)
        typer.echo(files.command())
    elif form == "parquet":
        tables.to_parquet(out)
    else:
        from .convert import to_anndata

        to_anndata(tables).write_h5ad(out)
    say(f"{graph}: {sum(tables.counts().values()):,} rows written to {out}")


def adopt(
    graph: Graph,
    source: Annotated[
        str, typer.Option("--from", metavar="GRAPH", help="Graph that was exported.")
    ],
) -> None:
    """Take over, in Neo4j, a graph that neo4j-admin imported."""
    from .stores import is_neo4j, open_store

    if not is_neo4j(graph):
        message = f"{graph} is a path; the address of a Neo4j server was expected. Correct it."
        raise InputError(message)
    from .stores.neo4j import Neo4jStore

    with open_store(source) as store:
        tables = store.graph()
    with open_store(graph, mode="w") as server:
        assert isinstance(server, Neo4jStore)
        rows = sum(server.adopt(tables).counts.values())
    say(f"{graph}: {rows:,} rows taken over from {source}")
