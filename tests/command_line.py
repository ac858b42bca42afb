"""Runs the command line in this process, as a shell would."""

import sys

import pytest

from scypher.cli import main


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Run a command; return exit code, stdout, stderr."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["scypher", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
    captured = capsys.readouterr()
    return int(end.value.code or 0), captured.out, captured.err
