"""How prompts, candidates and scores look; shared by ``infill``, ``demo`` and ``tasks``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from promptinfill.evaluation.statistics import Interval
    from promptinfill.infilling.candidates import Candidate


def table(*, title: str | None = None) -> Table:
    """A table with a rule under its head and no other lines."""
    return Table(
        box=box.SIMPLE_HEAD,
        title=title,
        title_style="bold",
        title_justify="left",
        header_style="dim",
        border_style="dim",
        pad_edge=False,
    )


def candidates_table(candidates: Sequence["Candidate"], *, limit: int) -> Table:
    """The best candidates: rank, what fills the holes, validation score, rows tried, tokens."""
    grid = table(title="Best candidates")
    grid.add_column("", justify="right", style="dim")
    grid.add_column("in the hole", ratio=1)
    for name in ("validation", "rows", "tokens"):
        grid.add_column(name, justify="right")
    for rank, candidate in enumerate(candidates[:limit], start=1):
        grid.add_row(
            str(rank),
            hole_text(candidate.fillings),
            score(candidate.score),
            str(len(candidate.scores)),
            str(candidate.tokens),
            style="bold" if rank == 1 else "",
        )
    return grid


def hole_text(fillings: Sequence[str]) -> Text:
    """The fillings of the holes, in order."""
    return Text(" │ ", style="dim").join(Text(filling) for filling in fillings)


def prompt_panel(prompt: str, title: str) -> Panel:
    """A prompt as it is, in a frame."""
    return Panel(
        highlight_template(prompt),
        title=title,
        title_align="left",
        box=box.ROUNDED,
        border_style="cyan",
        padding=(0, 1),
    )


def highlight_template(source: str) -> Text:
    """A template's source with fields and holes coloured."""
    text = Text(source)
    text.highlight_regex(r"(?<!\{)\{\w+\}", "cyan")
    text.highlight_regex(r"(?<!\[)\[MASK[^\]\n]*\]", "bold magenta")
    return text


def score(value: float) -> str:
    """A score in 0..1 with two decimals."""
    return f"{value:.2f}"


def interval(value: "Interval") -> str:
    """The 95 % interval of a score."""
    return f"{value.low:.2f} – {value.high:.2f}"
