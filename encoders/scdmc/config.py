"""Sizes of an scDMC model, and the choices of its training."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ..errors import InputError

PAD, MASK, CLS, EOS = range(4)
"""Ids of the special tokens; those of the genes follow."""

FIRST_GENE = 4
"""Id of the first gene."""


@dataclass(frozen=True)
class ScDMCConfig:
    """Sizes of a BERT that reads cells.

    Attributes
    ----------
    n_tokens
        Rows of the word table: special tokens and genes.
    width, n_layers, n_heads, hidden
        Width of a token, layers, heads of attention, width inside the feed-forward part.
    max_tokens
        Most tokens of a cell, the two that frame it included.
    layout
        ``mosaic``: ALiBi, fused projection, gated feed-forward part (MosaicBERT). ``stock``:
        learned positions (BERT).
    n_types, n_positions
        Rows of the tables of token types (only the first is read) and of positions; 0 for none.
    epe_mode
        Where the values of the EPE stream go: ``weight`` (they weight its loss; the network sees
        the order of columns, as published) or ``input`` (they enter as soft bins; no order).
    n_bins
        Soft bins of a value.
    dropout, attention_dropout
        Shares dropped in training, [0, 1). Attention is several times slower with its own.
    norm_eps
        Added to the variance in every LayerNorm.
    """

    n_tokens: int
    width: int = 64
    n_layers: int = 2
    n_heads: int = 4
    hidden: int = 128
    max_tokens: int = 2048
    layout: Literal["mosaic", "stock"] = "mosaic"
    n_types: int = 0
    n_positions: int = 0
    epe_mode: Literal["weight", "input"] = "input"
    n_bins: int = 32
    dropout: float = 0.02
    attention_dropout: float = 0.0
    norm_eps: float = 1e-12

    def __post_init__(self) -> None:
        """Raise :class:`InputError` on sizes of which no model can be made."""
        positive = ("n_tokens", "width", "n_layers", "n_heads", "hidden", "n_bins")
        for name in positive:
            _require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        _require(self.max_tokens >= 3, "max_tokens", self.max_tokens, "at least 3: cls, gene, eos")
        _require(
            self.width % self.n_heads == 0, "width", self.width, f"a multiple of {self.n_heads}"
        )
        _require(self.layout in ("mosaic", "stock"), "layout", self.layout, "mosaic or stock")
        _require(self.epe_mode in ("weight", "input"), "epe_mode", self.epe_mode, "weight or input")
        for name in ("dropout", "attention_dropout"):
            _require(0 <= getattr(self, name) < 1, name, getattr(self, name), "in [0, 1)")


PRESETS: dict[str, dict[str, int]] = {
    "tiny": {"width": 64, "n_layers": 2, "n_heads": 4, "hidden": 128},
    "small": {"width": 256, "n_layers": 6, "n_heads": 8, "hidden": 512},
    "base": {"width": 512, "n_layers": 12, "n_heads": 8, "hidden": 1024},
}
"""Sizes by name; ``base`` is that of the publication."""


@dataclass(frozen=True)
class ScDMCTraining:
    """Choices of the training.

    Attributes
    ----------
    mask_share
        Share of the genes that are hidden, (0, 1).
    alpha
        Weight of the contrast between the streams.
    tau
        Temperature of the contrast.
    momentum
        Share of itself that the momentum copy keeps in a step, [0, 1].
    queue
        Past cells whose momentum keys serve as negatives, for each stream.
    median_cells
        Cells from which the median of each gene is taken.
    seed
        Of the first weights and of the choice of those cells.
    """

    mask_share: float = 0.15
    alpha: float = 1.0
    tau: float = 0.07
    momentum: float = 0.995
    queue: int = 4096
    median_cells: int = 5000
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise :class:`InputError` on choices that mean nothing."""
        _require(0 < self.mask_share < 1, "mask_share", self.mask_share, "in (0, 1)")
        _require(self.alpha >= 0, "alpha", self.alpha, "0 or more")
        _require(self.tau > 0, "tau", self.tau, "more than 0")
        _require(0 <= self.momentum <= 1, "momentum", self.momentum, "in [0, 1]")
        _require(self.queue >= 0, "queue", self.queue, "0 or more")
        _require(self.median_cells >= 1, "median_cells", self.median_cells, "at least 1")


_SIZES = (
    *("width", "n_layers", "n_heads", "hidden", "max_tokens", "epe_mode", "n_bins"),
    *("dropout", "attention_dropout"),
)


def read_settings(settings: Mapping[str, Any], n_genes: int) -> tuple[ScDMCConfig, ScDMCTraining]:
    """Return sizes and choices from the ``[model]`` settings of a training configuration.

    Parameters
    ----------
    settings
        Optional keys: ``preset`` (``tiny``, ``small``, ``base``), the sizes of
        :class:`ScDMCConfig` that are free, and the fields of :class:`ScDMCTraining`.
    n_genes
        Genes to read.

    Raises
    ------
    InputError
        A key is not known, or a value means nothing.
    """
    choices = tuple(asdict(ScDMCTraining()))
    unknown = [str(key) for key in settings if key not in ("preset", *_SIZES, *choices)]
    if unknown:
        message = (
            f"[model] has settings that scdmc does not know: {', '.join(unknown)}; known: preset, "
            f"{', '.join((*_SIZES, *choices))}. Correct or remove them."
        )
        raise InputError(message)
    preset = settings.get("preset", "tiny")
    if preset not in PRESETS:
        message = (
            f"[model] asks for preset {preset!r}; there are {', '.join(PRESETS)}. Name one of them."
        )
        raise InputError(message)
    given = {**PRESETS[preset], **settings}
    _require_kinds(given)
    sizes = {key: given[key] for key in _SIZES if key in given}
    training = {key: given[key] for key in choices if key in given}
    return ScDMCConfig(n_tokens=n_genes + FIRST_GENE, **sizes), ScDMCTraining(**training)


def _require_kinds(given: Mapping[str, Any]) -> None:
    """Raise unless every value is of the kind of its default: text must not reach a comparison."""
    defaults = {**asdict(ScDMCConfig(n_tokens=FIRST_GENE)), **asdict(ScDMCTraining())}
    for name, value in given.items():
        kind = type(defaults.get(name, ""))
        taken = isinstance(value, (int, float) if kind is float else kind)
        _require(taken and not isinstance(value, bool), name, value, f"a value like {kind()!r}")


def _require(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        message = f"scdmc: {name} is {value!r}, expected {expected}. Correct the setting."
        raise InputError(message)
