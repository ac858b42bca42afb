"""Commands of the encoders: encode a file."""

from pathlib import Path
from typing import Annotated

import typer

from .errors import InputError


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(encode)


def encode(
    data: Annotated[Path, typer.Argument(metavar="IN.h5ad", help="Cells with raw counts.")],
    out: Annotated[Path, typer.Option(metavar="OUT.h5ad", help="File to write.")],
    *,
    encoder: Annotated[
        str, typer.Option(metavar="NAME|DIR", help="Encoder, or folder with its weights.")
    ] = "cellvq",
    layer: Annotated[
        str | None, typer.Option(help="Layer with raw counts, or 'raw'; X when not given.")
    ] = None,
    adapt: Annotated[bool, typer.Option(help="Fit the encoder briefly to these cells.")] = True,
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
) -> None:
    """Describe every cell: code, embedding, attention, written into an AnnData file."""
    from .console import Steps, say
    from .verbs import encode as run

    if not out.resolve().parent.is_dir():
        message = f"the folder of {out} does not exist; make it first."
        raise InputError(message)
    if out.is_dir():
        message = f"{out} is a folder; name the file to write."
        raise InputError(message)
    with Steps() as steps:
        adata = run(str(data), encoder=encoder, layer=layer, adapt=adapt, seed=seed, progress=steps)
    # Beside the target, then renamed: a run that is killed leaves no half-written file.
    partial = out.with_name(f".{out.name}.partial")
    try:
        adata.write_h5ad(partial, compression="gzip")
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    for note in adata.uns["scypher"][_slot(encoder)]["notes"]:
        say(str(note))
    say(f"{out}: {adata.n_obs} cells, {adata.n_vars} genes")


def _slot(encoder: str) -> str:
    from .registry import get_encoder

    return get_encoder(encoder).name
