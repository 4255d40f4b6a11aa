"""``promptinfill reproduce``: test the paper's claims, and say which hold."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from promptinfill.cli import views
from promptinfill.cli.options import Debug, Json, examples
from promptinfill.cli.progress import bars
from promptinfill.cli.state import State, state_of
from promptinfill.errors import PromptInfillError

if TYPE_CHECKING:
    from promptinfill.evaluation.reproduce import Suite

EPILOG = examples(
    "promptinfill reproduce --preset quick",
    "promptinfill reproduce --preset quick --json --out runs/quick",
    "promptinfill reproduce --config my-suite.yaml --out runs/mine",
    "promptinfill report runs/quick",
)
_STYLES = {"holds": "green", "does not hold": "red", "not tested": "dim"}


def reproduce(
    ctx: typer.Context,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="quick (embedded models, minutes), full (embedded, with ablations), llada-8b or "
            "dream-7b (a GPU).",
            show_default="quick",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE.yaml", help="A suite of your own instead of a preset."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Run folder. After a stop the same command continues from it, and ends with the "
            "same table.",
            show_default="runs/reproduce-NAME",
        ),
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Test the paper's five claims, and say of each whether it holds.

    Prompts are chosen on validation rows; test rows meet each prompt once. The rule of each
    verdict is fixed in the suite before the run. The folder keeps every answer; look at it with
    [bold]promptinfill report[/bold].
    """
    state = state_of(ctx)
    if preset is not None and config is not None:
        raise PromptInfillError("give --preset or --config, not both")
    with state.quiet():
        from promptinfill.evaluation.reproduce import load_preset, load_suite
        from promptinfill.evaluation.reproduce import reproduce as run
        from promptinfill.evaluation.targets import open_target

        name = config.stem if config else preset or "quick"
        suite = load_suite(config) if config else load_preset(name)
        state.use_folder(out or Path("runs") / f"reproduce-{name}")
        with bars(state.err) as progress:
            bar = progress.add_task("Reproducing", total=None)
            result = run(
                suite,
                state.folder,
                open_target=open_target,
                on_step=lambda step: progress.update(
                    bar, description=step.label, completed=step.done, total=step.total
                ),
            )
    if json:
        state.print_json(result)
    else:
        _show(state, suite, result)


def _show(state: State, suite: "Suite", result: dict[str, Any]) -> None:
    grid = views.table(title="Claims")
    grid.add_column("", justify="right", style="dim")
    grid.add_column("claim", ratio=1)
    grid.add_column("figure", justify="right")
    grid.add_column("95 % interval", justify="right", no_wrap=True)
    grid.add_column("verdict", no_wrap=True)
    for claim in result["claims"]:
        grid.add_row(
            str(claim["id"]),
            claim["statement"],
            number(claim["figure"]),
            f"{number(claim['low'])} to {number(claim['high'])}"
            if claim["low"] is not None
            else "",
            Text(claim["verdict"], style=_STYLES[claim["verdict"]]),
        )
    state.out.print(grid)
    for claim in result["claims"]:
        if claim["verdict"] != "holds":
            state.out.print(Text(f"{claim['id']}: {claim['reason']}", style="dim"))
    models = views.table(title=f"Test accuracy, mean of {len(suite.tasks)} tasks")
    models.add_column("model")
    for column in ("manual", "infilled"):
        models.add_column(column, justify="right")
    for row in result["models"]:
        models.add_row(row["model"], views.score(row["manual"]), views.score(row["infilled"]))
    state.out.print(models)
    touches = result["test_touches"]
    state.out.print(
        Text(
            f"{touches['prompts_tested']} prompts met {touches['test_sets']} test sets once each; "
            f"{result['seconds']:.0f} s. Kept in {state.folder}: "
            f"promptinfill report {state.folder}",
            style="dim",
        )
    )


def number(value: float | None) -> str:
    """A signed figure, or nothing."""
    return "" if value is None else f"{value:+.3f}"
