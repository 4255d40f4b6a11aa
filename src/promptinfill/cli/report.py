"""``promptinfill report``: a run folder as one HTML page and as Markdown."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from promptinfill.cli.options import Debug, Json, examples
from promptinfill.cli.state import state_of

EPILOG = examples(
    "promptinfill report runs/reproduce-quick", "promptinfill report runs/sum --out pages"
)


def report(
    ctx: typer.Context,
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where to write the pages.", show_default="RUN"),
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a run's report: report.html (one file, nothing else needed) and report.md.

    Works on the folders of reproduce, transfer, audit, infill and train: tables, plots, the best
    and worst prompts, failing examples by kind, settings and costs.
    """
    state = state_of(ctx)
    from promptinfill.evaluation.document import write_page
    from promptinfill.evaluation.report import build_page

    with state.busy("Drawing"):
        html, markdown = write_page(build_page(run), out or run)
    if json:
        state.print_json({"html": str(html), "markdown": str(markdown)})
    else:
        state.out.print(Text(f"{html}\n{markdown}"), soft_wrap=True)
