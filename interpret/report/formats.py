"""Numbers and names as a reader wants them in a table."""

import json
from typing import Any

import pandas as pd
from markupsafe import Markup, escape

UNKNOWN = "\N{EN DASH}"
"""What stands where a value is unknown."""

_FLOOR = 1e-300
_LONGEST_NAME = 44


def integer(value: Any) -> str:
    """Return a whole number with a comma between thousands."""
    return UNKNOWN if pd.isna(value) else f"{int(value):,}"


def number(value: Any, digits: int = 2) -> str:
    """Return a number with a fixed number of decimals, ``∞`` where it has no bound."""
    if pd.isna(value):
        return UNKNOWN
    if abs(value) == float("inf"):
        return "∞" if value > 0 else "-∞"
    text = f"{value:.{digits}f}"
    # What rounds to zero has no sign.
    return text.removeprefix("-") if float(text) == 0 else text


def p_value(value: Any) -> str:
    """Return a p or q value: three decimals, below 0.001 as 1.2e-10, below 1e-300 as such."""
    if pd.isna(value):
        return UNKNOWN
    if value <= _FLOOR:
        return "<1e-300"
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"


def percent(value: Any) -> str:
    """Return a share in [0, 1] as a percentage; what is present is never shown as 0%."""
    if pd.isna(value):
        return UNKNOWN
    if 0 < value < 0.005:
        return "<1%"
    return f"{100 * value:.0f}%"


def name(text: str) -> str:
    """Return a name on one line, cut where it is too long for a figure or a heading."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _LONGEST_NAME else f"{line[: _LONGEST_NAME - 1].rstrip()}…"


def breakable(text: str) -> Markup:
    """Return a long name, escaped, that a line may break after an underscore."""
    return escape(text).replace("_", Markup("_<wbr>"))


def plain(value: Any) -> str:
    """Return a value from JSON: text and numbers as they are, the rest as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:.6g}"
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def from_json(text: str, kind: type[Any]) -> Any:
    """Return what a JSON text holds, an empty ``kind`` where it holds something else."""
    try:
        value = json.loads(text)
    except ValueError:
        return kind()
    return value if isinstance(value, kind) else kind()


def count(n: int, one: str, many: str = "") -> str:
    """Return a number with its noun: ``1 state``, ``2,638 cells``."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def listed(items: list[str]) -> str:
    """Return items as in a sentence: ``a, b and c``."""
    return ", ".join(items[:-1]) + (" and " if len(items) > 1 else "") + (items or [""])[-1]


FILTERS = {
    "integer": integer,
    "number": number,
    "p_value": p_value,
    "percent": percent,
    "name": name,
    "plain": plain,
    "breakable": breakable,
}
