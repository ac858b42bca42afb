"""Progress and messages of the command line, on stderr."""

import sys
from types import TracebackType
from typing import Self


def say(message: str) -> None:
    """Print one line to stderr."""
    sys.stderr.write(f"{message}\n")


class Steps:
    """Progress bars on stderr, one per step; silent when stderr is no terminal.

    An instance is a :data:`~scypher.encoders.base.Progress` callback.
    """

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

        console = Console(stderr=True)
        self._bars = Progress(
            "[progress.description]{task.description}",
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task: dict[str, int] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show how far a step is; the steps before it are taken as finished."""
        if what not in self._task:
            self._task[what] = int(self._bars.add_task(what, total=total))
        self._bars.update(self._bars.task_ids[self._task[what]], completed=done, total=total)

    def __enter__(self) -> Self:
        """Start drawing."""
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop drawing and clear the bars."""
        self._bars.stop()
