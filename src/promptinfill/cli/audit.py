"""``promptinfill audit``: a before/after table of checkpoints."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from promptinfill.cli import views
from promptinfill.cli.options import Debug, Json, Seed, examples
from promptinfill.cli.progress import bars
from promptinfill.cli.state import State, state_of
from promptinfill.errors import PromptInfillError

EPILOG = examples(
    "promptinfill audit --before embedded:base --after embedded:full-sequence",
    "promptinfill audit --before my/base --after runs/a/model --after runs/b/model --out runs/ab",
    "promptinfill audit --before r-seed0,r-seed1 --after f-seed0,f-seed1 --judge embedded:base",
)


def audit(
    ctx: typer.Context,
    before: Annotated[
        str,
        typer.Option(
            metavar="A",
            help="The checkpoint that the others are compared with: embedded:NAME, a folder, or a "
            "hub id. Several with commas are training seeds of one recipe, and are averaged.",
        ),
    ],
    after: Annotated[
        list[str], typer.Option(metavar="B", help="A checkpoint to compare; may be repeated.")
    ],
    tasks: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Tasks with commas.", show_default="six micro-tasks"),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.jsonl",
            help="Held-out records (prompt and response, or messages).",
            show_default="held-out micro-task records",
        ),
    ] = None,
    judge: Annotated[
        str,
        typer.Option(
            metavar="MODEL", help="A second model that scores generated texts.", show_default="none"
        ),
    ] = "",
    texts: Annotated[
        int, typer.Option(min=8, metavar="N", help="Held-out records, and texts to generate.")
    ] = 128,
    candidates: Annotated[
        int, typer.Option(min=1, metavar="N", help="Fillings drawn for each task.")
    ] = 16,
    test: Annotated[int, typer.Option(min=1, metavar="N", help="Test rows of each task.")] = 50,
    seed: Seed = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Run folder; the same command continues a stopped audit.",
            show_default="nothing kept",
        ),
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Compare checkpoints before and after a training.

    Perplexity of held-out text (prompt and response apart), accuracy on tasks, infilling, and what
    freely generated texts look like; each with the paired difference and its 95 % interval.
    """
    state = state_of(ctx)
    checkpoints: dict[str, list[str]] = {}
    for given in [before, *after]:
        if given in checkpoints:
            raise PromptInfillError(f"{given} is named twice: each checkpoint is measured once")
        checkpoints[given] = [path.strip() for path in given.split(",") if path.strip()]
        if not checkpoints[given]:
            raise PromptInfillError("--before and --after need a checkpoint")
    state.use_folder(out)
    with state.quiet():
        from promptinfill.evaluation.audit import TASKS, AuditOptions
        from promptinfill.evaluation.audit import audit as run
        from promptinfill.evaluation.experiment import Effort
        from promptinfill.tasks import Splits

        options = AuditOptions(
            tasks=tuple(t.strip() for t in tasks.split(",")) if tasks else TASKS,
            effort=Effort(Splits(20, 16, test, seed), candidates),
            data=None if data is None else str(data),
            texts=texts,
            judge=judge,
            seed=seed,
        )
        with bars(state.err) as progress:
            bar = progress.add_task("Auditing", total=None)
            result = run(
                checkpoints,
                options,
                folder=out,
                on_step=lambda label, done, total: progress.update(
                    bar, description=label, completed=done, total=total
                ),
            )
    if json:
        state.print_json(result)
    else:
        _show(state, result)


def _show(state: State, result: dict[str, Any]) -> None:
    first, *others = result["checkpoints"]
    for other in others:
        grid = views.table(title=f"{first}  →  {other}")
        grid.add_column("measure", min_width=30)
        for name in ("before", "after", "difference (95 %)"):
            grid.add_column(name, justify="right", no_wrap=name != "difference (95 %)")
        group = ""
        for row in (r for r in result["rows"] if r["checkpoint"] == other):
            if group and row["group"] != group:
                grid.add_section()
            group = row["group"]
            clear = row["low"] > 0 or row["high"] < 0
            gap = (
                f"{_short(row['difference'], '+')} ({_short(row['low'])} to {_short(row['high'])})"
            )
            grid.add_row(
                row["measure"],
                _short(row["before"]),
                _short(row["after"]),
                Text(gap, style="bold" if clear else "dim"),
            )
        state.out.print(grid)
    for note in result["notes"]:
        state.out.print(Text(note, style="dim"))
    state.out.print(
        Text("Bold: the interval does not hold 0. Perplexity: lower is better.", style="dim")
    )


def _short(value: float, sign: str = "") -> str:
    return f"{value:{sign}.3f}" if abs(value) < 1000 else f"{value:{sign}.2g}"
