"""The command that evaluates encoders."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from .errors import InputError


def evaluate(
    data: Annotated[
        list[Path], typer.Argument(metavar="DATA…", help="Labelled .h5ad files, or a folder.")
    ],
    *,
    encoder: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME|DIR", help="Encoder; repeat for several. Default: cellvq."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for table, summary and figure.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Repetitions of what depends on chance.")] = 5,
    task: Annotated[
        list[str] | None,
        typer.Option(
            help="intra, inter, clustering, codes, integration or reconstruction; repeat for "
            "several. Default: all."
        ),
    ] = None,
    label: Annotated[str, typer.Option(help="Column of obs with the labels.")] = "cell_type",
    batch: Annotated[
        str | None, typer.Option(help="Column of obs whose values are left out in turn.")
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="Layer with raw counts, or 'raw'; X when not given.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="One seed, without the slow measures.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print means as a list of objects.")
    ] = False,
) -> None:
    """Evaluate encoders beside plain methods on labelled cells."""
    from .console import Steps, say
    from .evaluation.frame import summarise
    from .evaluation.run import evaluate as run
    from .evaluation.table import to_markdown

    if out is not None and (out.exists() and not out.is_dir()):
        message = f"{out} is a file; expected a folder to write into. Name another one."
        raise InputError(message)
    with Steps() as steps:
        frame = run(
            data,
            encoders=encoder or ["cellvq"],
            seeds=seeds,
            tasks=task,
            quick=quick,
            out=out,
            label=label,
            batch=batch,
            layer=layer,
            progress=steps,
        )
    means = summarise(frame)
    if as_json:
        sys.stdout.write(json.dumps(json.loads(means.to_json(orient="records")), indent=1) + "\n")
    else:
        sys.stdout.write(to_markdown(means, frame))
    if out is not None:
        say(f"{out}: {len(frame)} values, summary and figure")
