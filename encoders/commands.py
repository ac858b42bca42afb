"""Commands of the encoders: encode a file, train an encoder, evaluate encoders."""

from pathlib import Path
from typing import Annotated

import typer

from .errors import InputError


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    from .evaluate_command import evaluate

    app.command()(encode)
    app.command()(pretrain)
    app.command()(evaluate)


def encode(
    data: Annotated[Path, typer.Argument(metavar="IN.h5ad", help="Cells with raw counts.")],
    out: Annotated[Path, typer.Option(metavar="OUT.h5ad", help="File to write.")],
    *,
    encoder: Annotated[
        str,
        typer.Option(
            metavar="NAME[:WEIGHTS]|DIR", help="Encoder, with weights of yours or a folder of them."
        ),
    ] = "cellvq",
    layer: Annotated[
        str | None, typer.Option(help="Layer with raw counts, or 'raw'; X when not given.")
    ] = None,
    adapt: Annotated[bool, typer.Option(help="Fit the encoder briefly to these cells.")] = True,
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
) -> None:
    """Describe every cell: code, embedding, attention, written into an AnnData file."""
    from .cells import prepare
    from .console import Steps, say
    from .registry import get_encoder
    from .verbs import encode_cells

    if not out.resolve().parent.is_dir():
        message = f"the folder of {out} does not exist; make it first."
        raise InputError(message)
    if out.is_dir():
        message = f"{out} is a folder; name the file to write."
        raise InputError(message)
    with Steps() as steps:
        cells = prepare(data, layer=layer)
        chosen = get_encoder(encoder, adapt=adapt)
        adata = encode_cells(cells, chosen, seed=seed, progress=steps)
    # Beside the target, then renamed: a run that is killed leaves no half-written file.
    partial = out.with_name(f".{out.name}.partial")
    try:
        adata.write_h5ad(partial, compression="gzip")
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    for note in adata.uns["scypher"][chosen.name]["notes"]:
        say(str(note))
    say(f"{out}: {adata.n_obs} cells, {adata.n_vars} genes")


def pretrain(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="What to train on what.")],
) -> None:
    """Train an encoder; started again, it goes on from its last checkpoint.

    Under torchrun the processes share the work:
    torchrun --nproc-per-node N -m scypher.cli pretrain CONFIG.toml
    """
    from .console import Steps, say
    from .training.verbs import pretrain as run

    with Steps() as steps:
        history = run(config, say=say, progress=steps)
    if history:
        last = history[-1]
        say(f"epoch {last['epoch']}: training {last['train']}, held out {last['held_out']} nats")
