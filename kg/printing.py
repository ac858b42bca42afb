"""How the commands of the graph print rows: a table for people, JSON or CSV for programs."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import pandas as pd

AsJson = Annotated[bool, typer.Option("--json", help="Print a list of objects.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print comma-separated values.")]


def refuse_both(as_json: bool, as_csv: bool) -> None:
    """Raise :class:`typer.BadParameter` if both formats are asked for."""
    if as_json and as_csv:
        message = "--json and --csv exclude each other"
        raise typer.BadParameter(message)


def print_rows(frame: "pd.DataFrame", *, as_json: bool, as_csv: bool, title: str = "") -> None:
    """Print rows to stdout.

    In JSON unknown and infinite numbers are null. In CSV lists are joined by semicolons. In a pipe
    a table is not cut off to fit a width.
    """
    if as_json:
        typer.echo(json.dumps(_objects(frame), ensure_ascii=False, indent=1))
    elif as_csv and frame.columns.empty:
        # An engine need not say which columns an answer without rows would have had.
        return
    elif as_csv:
        typer.echo(_flat(frame).to_csv(index=False), nl=False)
    else:
        _print_table(frame, title)


def _objects(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    import math

    import pandas as pd

    def value(item: Any) -> Any:
        if item is pd.NA or (isinstance(item, float) and not math.isfinite(item)):
            return None
        return item

    columns = {str(name): [value(item) for item in frame[name].tolist()] for name in frame.columns}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _flat(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Return the frame with its lists as text."""
    texts = frame.select_dtypes(object)
    return frame.assign(
        **{
            str(name): [
                ";".join("" if part is None else str(part) for part in item)
                if isinstance(item, list)
                else item
                for item in texts[name]
            ]
            for name in texts
        }
    )


def _print_table(frame: "pd.DataFrame", title: str) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, title=escape(title) or None)
    for name in frame.columns:
        numeric = frame[name].dtype.kind in "if"
        table.add_column(escape(str(name)), justify="right" if numeric else "left")
    for row in frame.itertuples(index=False):
        table.add_row(*(escape(_cell(item)) for item in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=10_000)
    console.print(table)


def _cell(item: Any) -> str:
    if isinstance(item, float):
        return f"{item:.4g}"
    if isinstance(item, list):
        return ", ".join(map(str, item))
    return "" if item is None else str(item)
