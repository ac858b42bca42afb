"""Rows of a benchmark: one comparison each, printed as a table or as JSON."""

import json
import platform
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import TypedDict

PACKAGES = (
    *("scypher", "torch", "torch-geometric", "scanpy", "scikit-learn", "numpy", "scipy"),
    *("arcadedb-embedded", "neo4j"),
)


class Row(TypedDict):
    """One comparison; a ratio above 1 means that ours is better."""

    case: str
    measure: str
    unit: str
    ours: float
    peer: float
    peer_name: str
    ratio: float


def row(case: str, measure: str, *, unit: str, ours: float, peer: float, peer_name: str) -> Row:
    """Return a row of a measure of which more is better."""
    return Row(
        case=case,
        measure=measure,
        unit=unit,
        ours=round(ours, 4),
        peer=round(peer, 4),
        peer_name=peer_name,
        ratio=round(ours / peer, 3) if peer else float("inf"),
    )


def less(case: str, measure: str, *, unit: str, ours: float, peer: float, peer_name: str) -> Row:
    """Return a row of a measure of which less is better."""
    turned = row(case, measure, unit=unit, ours=peer, peer=ours, peer_name=peer_name)
    return Row(**{**turned, "ours": float(f"{ours:.4g}"), "peer": float(f"{peer:.4g}")})


def show(rows: Iterable[Row], *, as_json: bool) -> None:
    """Print the rows to stdout, then, unless as JSON, the machine and the versions."""
    rows = list(rows)
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
        return
    for item in rows:
        values = (f"{value:.4g}" if isinstance(value, float) else value for value in item.values())
        sys.stdout.write("\t".join(map(str, values)) + "\n")
    sys.stdout.write(f"{platform.platform()}, {platform.python_version()}\n")
    for name in PACKAGES:
        try:
            sys.stdout.write(f"{name} {version(name)}\n")
        except PackageNotFoundError:
            sys.stdout.write(f"{name} not installed\n")
