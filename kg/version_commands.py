"""Commands of the versions of a graph: list them, compare them, take data out."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..encoders.console import say
from ..encoders.errors import InputError
from .printing import AsCsv, AsJson, print_rows, refuse_both

Graph = Annotated[str, typer.Option("--graph", metavar="GRAPH", help="Path or address.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(remove)
    app.command()(versions)
    # Else -1, the current version, would be taken for an option.
    app.command(context_settings={"ignore_unknown_options": True})(diff)


def remove(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Key of the data set.")],
    graph: Graph,
    *,
    donor: Annotated[
        str | None, typer.Option(metavar="LABEL|KEY", help="Take out this donor only.")
    ] = None,
    forget: Annotated[
        bool, typer.Option("--forget", help="Delete it from all past versions too.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Forget without asking.")] = False,
) -> None:
    """Take a data set, or a donor of one, out of a graph."""
    from .stores import open_store

    what = f"the data set {dataset}" if donor is None else f"the donor {donor} of {dataset}"
    if forget and not yes and sys.stdin.isatty():
        typer.confirm(
            f"Delete {what} from {graph} and from all its past versions? "
            "They cannot be read or brought back afterwards.",
            abort=True,
            err=True,
        )
    with open_store(graph, mode="w") as store:
        if not store.remove(dataset, donor=donor, forget=forget):
            known = ", ".join(store.datasets()["key"]) or "none"
            message = (
                f"{graph} has no data set {dataset!r}; one of its data sets was expected: {known}. "
                "Correct the name."
            )
            raise InputError(message)
    say(f"{what} was taken out of {graph}" + (" and of its past versions" if forget else ""))
    if donor is not None:
        say(
            "what was computed from all cells is marked stale; "
            f"scypher refresh FILE.h5ad --graph {graph} --dataset {dataset} computes it again"
        )


def versions(
    graph: Graph,
    *,
    keep: Annotated[
        int | None, typer.Option(metavar="N", help="Keep the data of the last N versions only.")
    ] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List the versions of a graph, oldest first; the last one is the graph."""
    refuse_both(as_json, as_csv)
    from .stores import open_store

    with open_store(graph, mode="r" if keep is None else "w") as store:
        if keep is not None:
            store.keep(keep)
        found = store.versions()
    print_rows(found, as_json=as_json, as_csv=as_csv)


def diff(
    first: Annotated[int, typer.Argument(metavar="A", help="Version to start from.")] = -2,
    second: Annotated[
        int, typer.Argument(metavar="B", help="Version to compare with; -1 is the current one.")
    ] = -1,
    *,
    graph: Graph,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also write the rows that differ here.")
    ] = None,
) -> None:
    """Say what changed between two versions of a graph."""
    refuse_both(as_json, as_csv)
    from .stores import open_store
    from .versions.changes import changes
    from .versions.difference import compare

    with open_store(graph) as store:
        old, new = store.graph(first), store.graph(second)
    if out is not None:
        difference = compare(old, new)
        difference.write(out)
        counts = difference.counts()[["removed", "added", "changed"]].sum()
        say(
            f"{out}: {counts['removed']} rows removed, {counts['added']} added, "
            f"{counts['changed']} changed"
        )
    print_rows(changes(old, new), as_json=as_json, as_csv=as_csv)
