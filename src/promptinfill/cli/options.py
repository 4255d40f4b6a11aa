"""Options that several commands share."""

from typing import Annotated

import typer

from promptinfill.cli.state import state_of

BEST = "embedded:best"


def _debug(ctx: typer.Context, value: bool) -> bool:
    if value:
        state_of(ctx).debug = True
    return value


Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON object on standard output, and nothing else."),
]
Debug = Annotated[
    bool, typer.Option("--debug", callback=_debug, help="Show the traceback of an error.")
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed",
        min=0,
        max=2**63 - 1,
        metavar="N",
        help="Decides everything random: same seed, same result.",
    ),
]


def examples(*lines: str) -> str:
    """The epilog of a command: its examples, one a line."""
    escaped = (line.replace("[", "\\[") for line in lines)
    return "\n".join(["[bold]Examples[/bold]", *(f"  [cyan]{line}[/cyan]" for line in escaped)])
