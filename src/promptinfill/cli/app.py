"""The commands put together, and the one place that turns errors into exit codes."""

import traceback
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.text import Text

from promptinfill import __version__
from promptinfill.cli import (
    audit,
    demo,
    generate,
    infill,
    refine,
    report,
    reproduce,
    tasks,
    train,
    transfer,
)
from promptinfill.cli.options import Debug, examples
from promptinfill.cli.state import State, state_of
from promptinfill.errors import PromptInfillError

DONE, OUR_FAULT, WRONG_USE, INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(
    name="promptinfill",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo", epilog=demo.EPILOG)(demo.demo)
app.command("infill", epilog=infill.EPILOG)(infill.infill)
app.command("refine", epilog=refine.EPILOG)(refine.refine)
app.command("train", epilog=train.EPILOG)(train.train)
app.command("generate", epilog=generate.EPILOG)(generate.generate)
app.command("audit", epilog=audit.EPILOG)(audit.audit)
app.command("transfer", epilog=transfer.EPILOG)(transfer.transfer)
app.command("report", epilog=report.EPILOG)(report.report)
app.command("reproduce", epilog=reproduce.EPILOG)(reproduce.reproduce)
app.add_typer(tasks.app, name="tasks")


@app.callback(
    invoke_without_command=True,
    epilog=examples(
        "promptinfill demo",
        "promptinfill tasks list",
        "promptinfill infill --task first_letter",
        "promptinfill COMMAND --help",
    ),
)
def promptinfill(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    debug: Debug = False,
) -> None:
    """Let a masked diffusion language model write its own prompts.

    Give it a template with holes and a few solved examples; it fills the holes, tries the fillings
    on other examples, and keeps the prompt that works best. Start with [bold]demo[/bold].
    """
    if version:
        state_of(ctx).out.print(f"promptinfill {__version__}")
    elif ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 2 wrong use or input, 130 interrupted, 1 our fault."""
    state = State()
    try:
        command = typer.main.get_command(app)
        code = command.main(arguments, "promptinfill", standalone_mode=False, obj=state)
        # A command returns nothing; typer.Exit and, in typer itself, Ctrl-C come back as a code.
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        return code or DONE
    except (KeyboardInterrupt, typer.Abort):
        state.err.print(Text(_interrupted(state)), soft_wrap=True)
        return INTERRUPTED
    except (PromptInfillError, typer.TyperException) as error:
        _explain(state, "Error", _sentence(error))
        return WRONG_USE
    except Exception as error:
        what = " ".join(f"{type(error).__name__}: {error}".split())
        how = "" if state.debug else "; run the command again with --debug to see where"
        _explain(state, "Internal error", f"{what} (a fault of promptinfill{how})")
        return OUR_FAULT


def _interrupted(state: State) -> str:
    if state.folder is not None:
        return (
            f"Interrupted. Finished work is kept in {state.folder}: "
            "the same command continues from there."
        )
    return f"Interrupted. {state.advice}".strip()


def _explain(state: State, label: str, message: str) -> None:
    if state.debug:
        state.err.file.write(traceback.format_exc())
    line = Text.assemble((f"{label}: ", "bold red"), message)
    state.err.print(line, soft_wrap=True)


def _sentence(error: Exception) -> str:
    if isinstance(error, PromptInfillError):
        return " ".join(str(error).split())
    message = error.format_message()  # type: ignore[attr-defined]
    message = " ".join(message.replace("Value error, ", "").split()).rstrip(".")
    ctx = getattr(error, "ctx", None)
    return f"{message} (see {ctx.command_path} --help)" if ctx else message
