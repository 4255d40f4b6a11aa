"""``promptinfill demo``: the whole idea on the embedded models, in a minute.

For each task: the template, solved examples, the hole being denoised, candidates, the chosen
prompt; then how each recipe's model does with the prompt that it wrote itself.
"""

import time
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Any

import typer
from rich.live import Live
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from promptinfill.cli import views
from promptinfill.cli.denoising import Film, Frame, line, snapshots
from promptinfill.cli.options import Debug, Json, Seed, examples
from promptinfill.cli.state import State, state_of
from promptinfill.errors import NoCandidateError

if TYPE_CHECKING:
    from promptinfill.infilling.result import Result
    from promptinfill.models.base import MaskedDiffusionLM
    from promptinfill.tasks import Task

EPILOG = examples("promptinfill demo", "promptinfill demo --seed 1 --json")

# Tasks of short answers: a canvas of one word costs a tenth of one of a sentence.
TASKS = ("first_letter", "last_item", "sum", "plural", "larger_number")
RECIPES = ("response-only", "full-sequence", "two-stage", "best")
CANDIDATES, EXAMPLES, VALIDATION, TEST = 12, 20, 12, 32
EXAMPLES_PER_CANDIDATE = 3

_PAUSE = 0.06  # seconds a step stays on a terminal: without it nobody could follow
_SHOWN_EXAMPLES, _SHOWN_STEPS, _SHOWN_CANDIDATES = 3, 5, 3


@dataclass(frozen=True)
class Outcome:
    """What one model's own prompt did on one task; ``result`` is None when it found none."""

    result: "Result | None"
    accuracy: float
    tokens: int | None

    @property
    def prompt(self) -> str | None:
        """The chosen prompt."""
        return self.result.prompt if self.result else None


@dataclass
class Models:
    """The embedded models by recipe; recipes of one folder share one model."""

    by_recipe: dict[str, "MaskedDiffusionLM"]
    folders: dict[str, str]
    best_recipe: str


@dataclass
class Row:
    """One line of the final table."""

    task: str
    manual: float
    manual_prompt: str
    manual_tokens: int
    outcomes: dict[str, Outcome] = field(default_factory=dict)


def demo(ctx: typer.Context, seed: Seed = 0, json: Json = False, debug: Debug = False) -> None:
    """Watch a small model write prompts, and see how they do. Takes about a minute.

    Everything runs on this computer with models that come with the package: nothing is downloaded.
    """
    state = state_of(ctx)
    started = time.monotonic()
    view = None if json else View(state)
    with state.quiet():
        with state.busy("Opening the embedded models"):
            models = open_models()
        rows = []
        for number, name in enumerate(TASKS, start=1):
            rows.append(_one_task(state, view, models, name, number, seed))
    seconds = round(time.monotonic() - started, 1)
    if view is None:
        state.print_json(report(rows, models.best_recipe, seconds))
    else:
        view.summary(rows, models.best_recipe, seconds)


def open_models() -> Models:
    """Open every recipe's checkpoint once."""
    from promptinfill.models.base import MaskedDiffusionLM
    from promptinfill.models.embedded import embedded_folder, embedded_names

    folders = {recipe: str(embedded_folder(recipe)) for recipe in RECIPES}
    opened: dict[str, MaskedDiffusionLM] = {}
    for recipe, folder in folders.items():
        if folder not in opened:
            opened[folder] = MaskedDiffusionLM.from_pretrained(f"embedded:{recipe}")
    names = embedded_names()
    same = [n for n in names if n != "best" and names[n] == names["best"]]
    return Models(
        by_recipe={recipe: opened[folder] for recipe, folder in folders.items()},
        folders=folders,
        best_recipe=same[0] if same else names["best"],
    )


def _one_task(
    state: State, view: "View | None", models: Models, name: str, number: int, seed: int
) -> Row:
    from promptinfill.targets.diffusion import DiffusionTarget
    from promptinfill.tasks import Splits, get_task
    from promptinfill.templates import Template

    task = get_task(name, Splits(EXAMPLES, VALIDATION, TEST, seed))
    best = models.by_recipe["best"]
    if view:
        view.task(task, number)
    with state.busy("Drawing and validating candidates"):
        outcome, manual = _infill(best, task, seed, manual=task.manual[0])
    if view and outcome.result:
        view.denoising(best, task, outcome.result)
        view.candidates(outcome.result)
    filled = Template(task.manual[0], task.response)
    row = Row(
        task=name,
        manual=manual,
        manual_prompt=task.manual[0],
        manual_tokens=DiffusionTarget(best).count_tokens(
            filled.prompt(dict.fromkeys(filled.fields, ""))
        ),
    )
    by_folder = {models.folders["best"]: outcome}
    for recipe in RECIPES:
        folder = models.folders[recipe]
        if folder not in by_folder:
            with state.busy(f"The same with the {recipe} model"):
                by_folder[folder], _ = _infill(models.by_recipe[recipe], task, seed)
        row.outcomes[recipe] = by_folder[folder]
    if view:
        view.recipes(row)
    return row


def _infill(
    dlm: "MaskedDiffusionLM", task: "Task", seed: int, manual: str | None = None
) -> tuple[Outcome, float]:
    """The model's own prompt on its own test, and the accuracy of the manual one."""
    from promptinfill.evaluation.statistics import Interval
    from promptinfill.infilling.candidates import InfillOptions
    from promptinfill.infilling.infill import infill
    from promptinfill.templates import Template

    try:
        result = infill(
            Template(task.template, task.response),
            task.examples,
            dlm=dlm,
            validation=task.validation,
            metric=task.metric,
            candidates=CANDIDATES,
            options=InfillOptions(examples=EXAMPLES_PER_CANDIDATE),
            seed=seed,
            test=task.test,
            manual=manual,
        )
    except NoCandidateError:  # a locked model may write nothing usable: that counts as 0
        return Outcome(None, 0.0, None), _manual_only(dlm, task, manual)
    nothing = Interval(0.0, 0.0, 0.0, 0)
    outcome = Outcome(result, (result.test or nothing).score, result.best.tokens)
    return outcome, (result.manual or nothing).score


def _manual_only(dlm: "MaskedDiffusionLM", task: "Task", manual: str | None) -> float:
    if manual is None:
        return 0.0
    from promptinfill.evaluation.scoring import answer_room, prompt_accuracy
    from promptinfill.targets.diffusion import DiffusionTarget
    from promptinfill.templates import Template

    target = DiffusionTarget(dlm)
    return prompt_accuracy(
        Template(manual, task.response),
        task.response,
        task.test,
        target=target,
        metric=task.metric,
        max_tokens=answer_room(target, task.response, [*task.examples, *task.validation]),
    )


def report(rows: list[Row], best_recipe: str, seconds: float) -> dict[str, Any]:
    """The JSON of the demo: accuracies on test items, in 0..1."""
    entries = []
    for row in rows:
        entry: dict[str, Any] = {"task": row.task, "manual": row.manual}
        entry |= {_key(name): row.outcomes[name].accuracy for name in RECIPES}
        entry["tokens"] = {"manual": row.manual_tokens} | {
            _key(name): row.outcomes[name].tokens for name in RECIPES
        }
        entry["prompts"] = {"manual": row.manual_prompt} | {
            _key(name): row.outcomes[name].prompt for name in RECIPES
        }
        entries.append(entry)
    columns = ("manual", *(_key(name) for name in RECIPES))
    return {
        "rows": entries,
        "mean": {name: fmean(entry[name] for entry in entries) for name in columns},
        "best_recipe": best_recipe,
        "seconds": seconds,
    }


def _key(recipe: str) -> str:
    return recipe.replace("-", "_")


class View:
    """What the demo shows."""

    def __init__(self, state: State) -> None:
        self.console = state.out

    def show(self, content: Any, indent: int = 2) -> None:
        """Print, a little to the right."""
        self.console.print(Padding(content, (0, 0, 0, indent), expand=False))

    def task(self, task: "Task", number: int) -> None:
        """Template and solved examples, side by side."""
        title = Text.assemble((f"{number}/{len(TASKS)}  ", "dim"), (task.name, "bold"))
        self.console.print()
        self.console.print(Rule(title, style="dim", align="left"))
        self.console.print()
        solved = Text("\n").join(
            Text.assemble(row["input"], ("  →  ", "dim"), (row["output"], "green"))
            for row in task.examples[:_SHOWN_EXAMPLES]
        )
        left = Text.assemble(("A template with a hole\n", "dim"))
        left.append_text(views.highlight_template(task.template))
        right = Text.assemble(("Solved examples\n", "dim"))
        right.append_text(solved)
        grid = Table.grid(padding=(0, 8, 0, 0))
        grid.add_row(left, right)
        self.show(grid)

    def denoising(self, dlm: "MaskedDiffusionLM", task: "Task", result: "Result") -> None:
        """Draw the winner once more and watch."""
        from promptinfill.data.encoding import decode
        from promptinfill.infilling.candidates import InfillOptions, Plan, draw_fillings
        from promptinfill.templates import Template

        plan = Plan(**result.best.plan)
        self.console.print()
        self.show(Text("The hole, denoised step by step", style="dim"))
        with Live(console=self.console, transient=True, auto_refresh=False) as live:

            def on_frame(frame: Frame) -> None:
                if self.console.is_terminal:
                    live.update(Padding(line(frame), (0, 0, 0, 2)), refresh=True)
                    time.sleep(_PAUSE)

            film = Film(lambda ids: decode(dlm, ids), plan.hole_lengths, on_frame=on_frame)
            draw_fillings(
                dlm,
                Template(task.template, task.response),
                task.examples,
                [plan],
                InfillOptions(),
                on_step=film.watch,
            )
        for frame in snapshots(film.frames, _SHOWN_STEPS):
            self.show(line(frame))

    def candidates(self, result: "Result") -> None:
        """The best few candidates."""
        grid = _grid()
        grid.add_column(f"Candidates, best of {len(result.candidates)}", ratio=1)
        grid.add_column("validation", justify="right")
        for rank, candidate in enumerate(result.candidates[:_SHOWN_CANDIDATES]):
            style = "bold" if rank == 0 else "dim"
            text = views.hole_text(candidate.fillings)
            grid.add_row(text, views.score(candidate.score), style=style)
        self.console.print()
        self.show(grid)

    def recipes(self, row: Row) -> None:
        """The prompt that each model wrote, and how it did."""
        grid = _grid()
        grid.add_column("Chosen prompt, by training recipe", no_wrap=True)
        grid.add_column("", ratio=1)
        grid.add_column("test", justify="right")
        for recipe in RECIPES:
            outcome = row.outcomes[recipe]
            text = views.hole_text(outcome.result.best.fillings) if outcome.result else Text("none")
            grid.add_row(recipe, text, _accuracy(outcome.accuracy))
        first = row.manual_prompt.partition("\n")[0]
        grid.add_row("manual", Text(first, style="dim"), _accuracy(row.manual))
        self.console.print()
        self.show(grid)

    def summary(self, rows: list[Row], best_recipe: str, seconds: float) -> None:
        """The table at the end."""
        self.console.print()
        self.console.print(Rule(Text("Accuracy on test items", style="bold"), align="left"))
        grid = views.table()
        grid.add_column("task")
        for name in ("manual", *RECIPES):
            style = "bold" if name == "best" else ""
            grid.add_column(name.replace("-", "-\n"), justify="right", style=style)
        for row in rows:
            cells = [_cell(row.manual, row.manual_tokens)]
            cells += [_cell(o.accuracy, o.tokens) for o in (row.outcomes[r] for r in RECIPES)]
            grid.add_row(row.task, *cells)
        mean = report(rows, best_recipe, seconds)["mean"]
        grid.add_section()
        grid.add_row("mean", *(_cell(value) for value in mean.values()))
        self.show(grid, indent=0)
        self.show(
            Text(
                "manual: a human-style instruction on the best model. The others: each model with "
                "the prompt that it wrote itself. Small figures: prompt tokens.",
                style="dim",
            ),
            indent=0,
        )
        self.console.print(
            Text.assemble(
                ("best is ", "dim"),
                best_recipe,
                (f"; {seconds:.0f} s in all. Next: ", "dim"),
                ("promptinfill infill --task plural", "cyan"),
            )
        )


def _grid() -> Table:
    return Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0), expand=True)


def _accuracy(value: float) -> Text:
    return Text(views.score(value), style="green" if value >= 0.5 else "red")


def _cell(value: float, tokens: int | None = None) -> Text:
    small = f" {'' if tokens is None else tokens:>3}"
    return Text.assemble(_accuracy(value), (small, "dim"))
