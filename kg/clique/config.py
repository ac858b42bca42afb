"""Size of the clique network and course of its training."""

from dataclasses import dataclass

from ...encoders.errors import InputError


@dataclass(frozen=True)
class CliqueConfig:
    """Size of the network and course of its training.

    Widths, heads, bins, bits and the moments of AdamW are those of the released CellVQ-Graph; the
    length of the training suits thousands of cells on two cores.

    Parameters
    ----------
    hidden, heads, feed_forward
        Width of the tokens, attention heads (a divisor of ``hidden``), width of the feed-forward
        part.
    value_bins
        Bins of the soft value embedding.
    dropout
        Share of the entries dropped while training, [0, 1).
    bits, code_width, condition_width
        Of the discretisation; fewer bits are taken when there are less than three cells a code.
    epochs
        Passes over all cells.
    batch_cells
        Cells of a step. Memory grows with it, not with the number of cells.
    learning_rate
        Peak of the one-cycle schedule.
    hide
        Share of the genes of a cell that is taken out of its clique and asked for, (0, 1).
    held_out, held_out_cells
        Share of the genes of ``held_out_cells`` random cells that training never sees, used to
        choose the epoch.
    usage
        Weight of the entropy of code usage, against a collapse of the codebook.
    threads
        Threads of torch.
    """

    hidden: int = 128
    heads: int = 8
    feed_forward: int = 512
    value_bins: int = 12
    dropout: float = 0.1
    bits: int = 12
    code_width: int = 32
    condition_width: int = 128
    epochs: int = 5
    batch_cells: int = 64
    learning_rate: float = 2e-3
    hide: float = 0.15
    held_out: float = 0.05
    held_out_cells: int = 512
    usage: float = 0.05
    threads: int = 1

    def __post_init__(self) -> None:
        sizes = ("hidden", "heads", "feed_forward", "value_bins", "bits", "code_width")
        for name in (*sizes, "condition_width", "epochs", "batch_cells", "held_out_cells"):
            if getattr(self, name) < 1:
                message = f"{name} = {getattr(self, name)}; expected at least 1; raise it."
                raise InputError(message)
        if self.hidden % self.heads:
            message = (
                f"hidden = {self.hidden} with heads = {self.heads}; expected a multiple of heads; "
                f"use hidden = {self.heads * max(1, self.hidden // self.heads)}."
            )
            raise InputError(message)
        for name in ("hide", "held_out"):
            if not 0 < getattr(self, name) < 1:
                message = f"{name} = {getattr(self, name)}; expected a share in (0, 1); change it."
                raise InputError(message)
        if not 0 <= self.dropout < 1 or self.learning_rate <= 0 or self.threads < 1:
            message = (
                f"dropout = {self.dropout}, learning_rate = {self.learning_rate}, threads = "
                f"{self.threads}; expected [0, 1), above 0, at least 1; change them."
            )
            raise InputError(message)
