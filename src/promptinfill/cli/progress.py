"""Progress on standard error: one bar a stage on a terminal, silence everywhere else."""

from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

if TYPE_CHECKING:
    from promptinfill.infilling.infill import Progress as Step

_LABELS = {
    "candidates": "Drawing candidates",
    "validation": "Validating",
    "test": "Testing",
    "manual": "Testing the manual prompt",
}


def bars(console: Console, *columns: TextColumn) -> Progress:
    """A calm progress display; it leaves nothing behind, and shows nothing off a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30, complete_style="cyan", finished_style="dim cyan"),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal,
        redirect_stdout=False,
        redirect_stderr=False,
    )


class Stages:
    """The stages of ``infill`` as bars; give ``report`` to it as ``on_progress``."""

    def __init__(self, console: Console) -> None:
        self._progress = bars(console)
        self._bars: dict[str, TaskID] = {}

    def report(self, step: "Step") -> None:
        """Show one finished piece of work."""
        stage, _, turn = step.stage.partition("/")
        label = _LABELS.get(stage, stage) + (f", round {turn}" if turn else "")
        if step.stage not in self._bars:
            self._bars[step.stage] = self._progress.add_task(label, total=step.total)
        self._progress.update(self._bars[step.stage], completed=step.done, total=step.total)

    def __enter__(self) -> "Stages":
        self._progress.start()
        self._bars["candidates"] = self._progress.add_task(_LABELS["candidates"], total=None)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()
