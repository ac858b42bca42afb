"""Are the statistics honest? Shuffled labels, planted causes, doublets, spiked states, coverage.

Each row sets the share that was called significant, or found, beside the nominal one. The parts
stand in `calibrations`, one file per question.

    python tests/benchmarks/calibration.py --data DIR [--quick] [--json] [--parts NAME …]
"""

import argparse
import importlib
from pathlib import Path

from rows import Row, show

PARTS = ("causes", "decoys", "donors", "nulls", "states", "transitions")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of data sets")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="only these")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--json", action="store_true", help="rows alone, as JSON")
    given = parser.parse_args()
    rows: list[Row] = []
    for part in given.parts:
        rows += importlib.import_module(f"calibrations.{part}").rows(given.data, given.quick)
    show(rows, as_json=given.json)


if __name__ == "__main__":
    main()
