"""``promptinfill tasks``: which tasks there are, and what one looks like."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.panel import Panel
from rich.text import Text

from promptinfill.cli import views
from promptinfill.cli.options import Debug, Json, Seed, examples
from promptinfill.cli.state import state_of

if TYPE_CHECKING:
    from promptinfill.tasks import Task

app = typer.Typer(rich_markup_mode="rich", invoke_without_command=True)


@app.callback(
    epilog=examples(
        "promptinfill tasks list",
        "promptinfill tasks show plural",
        "promptinfill tasks show instruction_induction/sum --json",
    )
)
def tasks(ctx: typer.Context) -> None:
    """List the tasks that infill knows, or look at one.

    Micro-tasks are generated on the spot. Tasks of data sets are there when the environment
    variable PROMPTINFILL_DATA names the folder that holds the data.
    """
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


@app.command("list", epilog=examples("promptinfill tasks list", "promptinfill tasks list --json"))
def list_tasks(ctx: typer.Context, json: Json = False, debug: Debug = False) -> None:
    """List every task with one line about it."""
    state = state_of(ctx)
    from promptinfill.tasks import task_summaries

    with state.busy("Reading tasks"):
        found = task_summaries()
    if json:
        entries = [{"name": t.name, "description": t.description, "notes": t.notes} for t in found]
        state.print_json({"tasks": entries})
        return
    grid = views.table()
    grid.add_column("task", style="cyan", no_wrap=True)
    grid.add_column("what it asks", ratio=1)
    for task in found:
        note = f"  ({task.notes})" if task.notes else ""
        grid.add_row(task.name, Text.assemble(task.description, (note, "dim")))
    state.out.print(grid)
    state.out.print(
        Text(f"{len(found)} tasks; look at one: promptinfill tasks show NAME", style="dim")
    )


@app.command("preview", hidden=True)
@app.command(
    "show",
    epilog=examples("promptinfill tasks show plural", "promptinfill tasks show sum --seed 3"),
)
def show_task(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The task.", show_default=False)],
    seed: Seed = 0,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Show one task: its template, a real row, manual prompts, sizes and metric."""
    state = state_of(ctx)
    from promptinfill.tasks import Splits, get_task
    from promptinfill.templates import Template

    with state.busy(f"Opening task {name}"):
        task = get_task(name, Splits(seed=seed))
    row = (task.examples or task.test)[0]
    source = task.manual[0] if task.manual else task.template
    prompt = Template(source, task.response)
    rendered = prompt.prompt(row) if not prompt.holes else ""
    sizes = {
        "examples": len(task.examples),
        "validation": len(task.validation),
        "test": len(task.test),
    }
    metric = getattr(task.metric, "__name__", "metric")
    if json:
        state.print_json(
            {
                "name": task.name,
                "description": task.description,
                "template": task.template,
                "response": task.response,
                "manual": list(task.manual),
                "splits": sizes,
                "metric": metric,
                "notes": task.notes,
                "row": row,
                "rendered": rendered,
            }
        )
        return
    show = state.out.print
    show()
    show(Text.assemble((task.name, "bold"), f"  {task.description}"))
    show()
    show(views.prompt_panel(task.template, "Template"))
    show(_rendered(rendered, row[task.response]))
    show(_manual(task))
    counts = ", ".join(f"{n} {what}" for what, n in sizes.items())
    show(Text(f"rows: {counts}; metric: {metric}", style="dim"))
    if task.notes:
        show(Text(task.notes, style="dim"))
    show(Text(f"promptinfill infill --task {task.name}", style="cyan"))


def _rendered(prompt: str, answer: str) -> Panel:
    space = "" if prompt.endswith((" ", "\n")) else " "
    text = Text.assemble(prompt + space, (answer, "bold green"))
    return Panel(
        text,
        title="A row under the first manual prompt, with its answer",
        title_align="left",
        box=box.ROUNDED,
        border_style="dim",
        padding=(0, 1),
    )


def _manual(task: "Task") -> Any:
    grid = views.table(title="Manual prompts")
    grid.add_column("", justify="right", style="dim")
    grid.add_column("instruction")
    # Only what differs: the lines of the template that hold no hole are the same in all.
    block = task.template.partition("]")[2]
    for i, prompt in enumerate(task.manual, start=1):
        grid.add_row(str(i), views.highlight_template(prompt.removesuffix(block)))
    return grid
