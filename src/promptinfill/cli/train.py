"""``promptinfill train``: run a recipe, or continue one."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import TextColumn
from rich.text import Text

from promptinfill.cli import views
from promptinfill.cli.options import Debug, Json, examples
from promptinfill.cli.progress import bars
from promptinfill.cli.state import State, state_of
from promptinfill.errors import PromptInfillError

EPILOG = examples(
    "promptinfill train recipe.yaml --out runs/first",
    "promptinfill train recipe.yaml --out runs/short --set training.steps=100 --set seed=1",
    "promptinfill infill --task plural --model runs/first/model",
)


def train(
    ctx: typer.Context,
    recipe: Annotated[
        Path,
        typer.Argument(
            metavar="RECIPE.yaml",
            help="What to train, on what data, and which tokens are masked.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="The run's folder: checkpoints, log.jsonl, result.json, and the model.",
            show_default=False,
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change one value of the recipe, for example training.steps=100; may be repeated.",
            show_default=False,
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Keep generated training data here, for the next run that needs the same.",
            show_default="made anew",
        ),
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Train a masked diffusion model from a recipe.

    A stopped run continues from its last checkpoint when the same command is given again; a
    finished one is shown as it is.
    """
    state = state_of(ctx)
    from promptinfill.training.recipe import load_recipe

    with state.quiet():
        loaded = load_recipe(recipe, tuple(overrides or ()))
        state.use_folder(out)
        if cache is not None:
            try:
                cache.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise PromptInfillError(
                    f"cannot use {cache} as a folder: {error.strerror}; choose another --cache"
                ) from None
        from promptinfill.training.train import train as run_train

        losses = TextColumn("[dim]{task.fields[losses]}[/dim]")
        with bars(state.err, losses) as progress:
            bar = progress.add_task("Preparing data", total=loaded.training.steps, losses="")

            def on_log(step: int, values: dict[str, Any]) -> None:
                progress.update(bar, description="Training", completed=step)
                if running := _losses(values):
                    progress.update(bar, losses=running)
                if checked := _losses(values, "eval_"):
                    progress.console.print(
                        Text(f"step {step:>6}  validation  {checked}", style="dim")
                    )

            result = run_train(loaded, out, cache=cache, on_log=_only_on(state, on_log))
    model = out / "model"
    use = f"promptinfill infill --task first_letter --model {shlex.quote(str(model))}"
    if json:
        state.print_json({"model": str(model), "folder": str(out), "use": use} | result)
    else:
        _show(state, result, model, use)


def _only_on(
    state: State, on_log: Callable[[int, dict[str, Any]], None]
) -> Callable[[int, dict[str, Any]], None] | None:
    return on_log if state.err.is_terminal else None


def _losses(values: dict[str, Any], prefix: str = "") -> str:
    """The losses of a log as "loss 1.23  prompt 2.00"; "" for a log without them."""
    names = {"loss": "loss", "prompt_loss": "prompt", "response_loss": "response"}
    found = [(text, values.get(prefix + name)) for name, text in names.items()]
    return "  ".join(f"{text} {value:.3f}" for text, value in found if value is not None)


def _show(state: State, result: dict[str, Any], model: Path, use: str) -> None:
    show = state.out.print
    validation, data = result["validation"], result["train"]
    grid = views.table()
    for name in ("steps", "seconds", "parameters", "training sequences"):
        grid.add_column(name, justify="right")
    cells = [
        f"{result['steps']:,}",
        f"{result['seconds']:,.0f}",
        f"{result['parameters']:,}",
        f"{data['sequences']:,}",
    ]
    for name, label in (
        ("eval_prompt_loss", "validation loss, prompt"),
        ("eval_response_loss", "response"),
    ):
        if name in validation:
            grid.add_column(label, justify="right")
            cells.append(f"{validation[name]:.3f}")
    grid.add_row(*cells)
    show(grid)
    if left := data["too_long_left_out"]:
        show(Text(f"{left:,} training sequences were too long and left out", style="yellow"))
    show(Text.assemble("The model is in ", (str(model), "bold"), "; use it by"), soft_wrap=True)
    show(Text(f"  {use}", style="cyan"), soft_wrap=True)
