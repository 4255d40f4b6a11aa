"""``promptinfill transfer``: prompts of every model on every model."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from promptinfill.cli import views
from promptinfill.cli.options import Debug, Json, examples
from promptinfill.cli.progress import bars
from promptinfill.cli.state import State, state_of
from promptinfill.errors import PromptInfillError

EPILOG = examples(
    "promptinfill transfer --model embedded:full-sequence --model embedded:best",
    "promptinfill transfer --model embedded:best --target MODEL --tasks sum,plural --out runs/move",
)


def transfer(
    ctx: typer.Context,
    model: Annotated[
        list[str],
        typer.Option(metavar="NAME", help="A model that fills prompts and answers; repeat it."),
    ],
    target: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A model that only answers; may be repeated."),
    ] = None,
    tasks: Annotated[
        str, typer.Option(metavar="NAMES", help="Tasks with commas.")
    ] = "first_letter,last_item,sum,plural,larger_number,upper_case",
    seeds: Annotated[
        int, typer.Option(min=1, metavar="N", help="Seeds of rows and candidates: 0 to N-1.")
    ] = 1,
    candidates: Annotated[
        int, typer.Option(min=1, metavar="N", help="Fillings drawn for each task.")
    ] = 16,
    test: Annotated[int, typer.Option(min=1, metavar="N", help="Test rows of each task.")] = 50,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Run folder; the same command continues a stopped run, and promptinfill report "
            "draws its heat map.",
            show_default="nothing kept",
        ),
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Use the prompts that each model fills on every other model.

    A row is the model that filled the prompts, a column the model that answers them; each figure is
    the mean test accuracy over tasks with its 95 % interval, beside the manual prompt.
    """
    state = state_of(ctx)
    if len({*model, *(target or [])}) < 2:
        raise PromptInfillError("transfer needs two different models: repeat --model, or --target")
    state.use_folder(out)
    with state.quiet():
        from promptinfill.evaluation.experiment import Effort
        from promptinfill.evaluation.targets import open_target
        from promptinfill.evaluation.transfer import transfer as run
        from promptinfill.tasks import Splits

        with bars(state.err) as progress:
            bar = progress.add_task("Transferring", total=None)
            result = run(
                {name: name for name in model},
                [name.strip() for name in tasks.split(",") if name.strip()],
                targets={name: name for name in target or [] if name not in model},
                seeds=range(seeds),
                effort=Effort(Splits(20, 16, test), candidates),
                folder=out,
                open_target=open_target,
                on_step=lambda label, done, total: progress.update(
                    bar, description=label, completed=done, total=total
                ),
            )
    if json:
        state.print_json(result)
    else:
        _show(state, result)


def _show(state: State, result: dict[str, Any]) -> None:
    grid = views.table(title="Filled by (rows), used on (columns)")
    grid.add_column("")
    for name in result["targets"]:
        grid.add_column(name, justify="right")
    cells = {(c["source"], c["target"]): c for c in result["cells"]}
    for source in result["sources"]:
        grid.add_row(source, *(_cell(cells[source, t]) for t in result["targets"]))
    grid.add_section()
    grid.add_row("manual", *(_cell(m) for m in result["manual"]))
    state.out.print(grid)


def _cell(found: dict[str, Any]) -> Text:
    return Text.assemble(
        f"{found['score']:.2f}", (f"\n{found['low']:.2f} to {found['high']:.2f}", "dim")
    )
