"""``promptinfill infill``: from a template with holes to a prompt, its score and its rivals."""

import hashlib
import os
import shutil
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from promptinfill.cli import inputs, views
from promptinfill.cli.inputs import PRESETS, Budget, Job
from promptinfill.cli.options import BEST, Debug, Json, Seed, examples
from promptinfill.cli.progress import Stages
from promptinfill.cli.state import State, state_of
from promptinfill.errors import PromptInfillError

if TYPE_CHECKING:
    from promptinfill.infilling.result import Result
    from promptinfill.models.base import MaskedDiffusionLM

EPILOG = examples(
    "promptinfill infill --task first_letter",
    "promptinfill infill --task instruction_induction/sum --budget full --out runs/sum",
    "promptinfill infill --template '[MASK:8]\\nQ: {question}\\nA: {answer}' --examples qa.jsonl",
    "promptinfill infill --task plural --json | jq -r .prompt",
)
_SHOWN = 8  # candidates in the table


class Conditioning(StrEnum):
    """How a candidate sees its solved examples."""

    tied = "tied"
    concat = "concat"


def _presets(name: str) -> str:
    return ", ".join(f"{budget}: {getattr(preset, name)}" for budget, preset in PRESETS.items())


def infill(
    ctx: typer.Context,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="TASK",
            help="A task with its own template, rows, metric and manual prompt; see "
            "[bold]promptinfill tasks list[/bold].",
            rich_help_panel="What to infill",
        ),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|TEXT",
            help="Your own template, a file or the text itself (\\n is a line break): {name} is a "
            "field, \\[MASK:8] a hole of 8 tokens. It ends with the field of the answer.",
            rich_help_panel="What to infill",
        ),
    ] = None,
    examples: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.jsonl",
            help="Solved examples for --template, one JSON object with its fields a line. They are "
            "shuffled by the seed and shared out: first the examples that the model sees, then "
            "validation rows that choose the prompt, then test rows that score it; numbers by "
            "--budget, or in their proportion if there are fewer.",
            rich_help_panel="What to infill",
        ),
    ] = None,
    validation: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.jsonl",
            help="Take validation rows from here instead (at most the budget's number).",
            rich_help_panel="What to infill",
        ),
    ] = None,
    test: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.jsonl",
            help="Take test rows from here instead (at most the budget's number).",
            rich_help_panel="What to infill",
        ),
    ] = None,
    response: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD",
            help="The field that holds the answer.",
            show_default="the template's last field",
            rich_help_panel="What to infill",
        ),
    ] = None,
    manual: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|TEXT",
            help="A hand-written prompt over the same fields, scored on the same test rows.",
            show_default="the task's own, if it has one",
            rich_help_panel="What to infill",
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="How an answer is scored: exact_match, exact_text, contains, set_match or f1.",
            show_default="the task's own, or exact_match",
            rich_help_panel="What to infill",
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The masked diffusion model that fills the holes: embedded:NAME, a folder, or a "
            "hub id.",
            rich_help_panel="Models and effort",
        ),
    ] = BEST,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The model that the prompt is for: it answers while candidates are compared.",
            show_default="the same model",
            rich_help_panel="Models and effort",
        ),
    ] = None,
    budget: Annotated[
        Budget,
        typer.Option(
            help=f"How much to try. Candidates {_presets('candidates')}; validation rows "
            f"{_presets('validation')}; test rows {_presets('test')}.",
            rich_help_panel="Models and effort",
        ),
    ] = Budget.quick,
    candidates: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="How many fillings to draw.",
            show_default="by --budget",
            rich_help_panel="Models and effort",
        ),
    ] = None,
    conditioning: Annotated[
        Conditioning,
        typer.Option(
            help="Examples each in a text of its own that share the hole (tied), or one after "
            "another in one text (concat).",
            rich_help_panel="Models and effort",
        ),
    ] = Conditioning.tied,
    seed: Seed = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Keep the run in this folder. Without it, only an unfinished run is kept (in the "
            "user's cache), so that the same command continues it after a stop.",
            show_default="nothing kept of a finished run",
        ),
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Fill a template's holes and keep the prompt that works best.

    The model draws candidates for the holes while it sees solved examples with their answers. The
    candidates are compared on validation rows, the weaker half dropping out each round. The winner
    is scored once on test rows, beside the manual prompt if there is one.
    """
    state = state_of(ctx)
    splits = PRESETS[budget].splits(seed)
    if (task is None) == (template is None):
        raise PromptInfillError(
            "say what to infill: either --task TASK, or --template with --examples"
        )
    if task is not None:
        for given, option in (
            (examples, "--examples"),
            (validation, "--validation"),
            (test, "--test"),
            (response, "--response"),
        ):
            if given is not None:
                raise PromptInfillError(f"{option} goes with --template; a task has its own")
        with state.busy(f"Opening task {task}"):
            job = inputs.job_from_task(task, splits)
    else:
        if examples is None:
            raise PromptInfillError("--template needs --examples FILE.jsonl: solved examples")
        parsed = inputs.read_template(template or "", response)
        job = inputs.job_from_files(parsed, examples, splits, validation=validation, test=test)
    job = inputs.with_metric(job, metric)
    if manual is not None:
        job = replace(job, manual=inputs.read_manual(manual, job.template.response))
    state.use_folder(out)
    result = _run(
        state,
        job,
        model=model,
        target=target,
        candidates=candidates or PRESETS[budget].candidates,
        conditioning=conditioning,
        seed=seed,
        out=out,
    )
    if json:
        state.print_json({"task": task} | result.to_json())
    else:
        _show(state, job, result, out)


def _run(
    state: State,
    job: Job,
    *,
    model: str,
    target: str | None,
    candidates: int,
    conditioning: Conditioning,
    seed: int,
    out: Path | None,
) -> "Result":
    with state.quiet():
        from promptinfill.infilling.candidates import InfillOptions
        from promptinfill.infilling.infill import infill as run_infill
        from promptinfill.models.base import MaskedDiffusionLM

        with state.busy(f"Opening {model}"):
            dlm = MaskedDiffusionLM.from_pretrained(model)
        answers = None
        if target is not None and target != model:
            with state.busy(f"Opening {target}"):
                answers = MaskedDiffusionLM.from_pretrained(target)
        folder = out or _unfinished_folder(
            job, dlm, answers or dlm, candidates, conditioning.value, seed
        )
        state.use_folder(folder)
        with Stages(state.err) as stages:
            result = run_infill(
                job.template,
                job.examples,
                dlm=dlm,
                validation=job.validation,
                metric=job.metric,
                target=answers,
                candidates=candidates,
                seed=seed,
                test=job.test,
                manual=job.manual,
                options=InfillOptions(conditioning=conditioning.value),
                folder=folder,
                on_progress=stages.report,
            )
        if out is None:
            shutil.rmtree(folder, ignore_errors=True)
        return result


def _unfinished_folder(
    job: Job, dlm: "MaskedDiffusionLM", target: "MaskedDiffusionLM", *settings: object
) -> Path:
    """Where a run without --out lives until it is done: the same command finds the same folder."""
    from promptinfill.evaluation.scoring import metric_name

    rows = (job.examples, job.validation, job.test, job.manual, metric_name(job.metric))
    models = [(model.name, model.fingerprint) for model in (dlm, target)]
    everything = repr((str(job.template), job.template.response, rows, models, settings))
    digest = hashlib.blake2b(everything.encode(), digest_size=8).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "promptinfill" / "unfinished" / digest


def _show(state: State, job: Job, result: "Result", out: Path | None) -> None:
    show = state.out.print
    show()
    show(views.candidates_table(result.candidates, limit=_SHOWN))
    show(Text(_drawn(result), style="dim"))
    show()
    show(views.prompt_panel(result.prompt, "Chosen prompt"))
    if result.test is not None:
        grid = views.table(title=f"Test, {result.test.n} rows")
        grid.add_column("prompt")
        for name in (getattr(job.metric, "__name__", "score"), "95 % interval"):
            grid.add_column(name, justify="right")
        grid.add_row("infilled", views.score(result.test.score), views.interval(result.test))
        if result.manual is not None:
            score = views.score(result.manual.score)
            grid.add_row("manual", score, views.interval(result.manual))
        show()
        show(grid)
    cost = result.cost
    line = (
        f"{cost['model_calls']:,} model calls, {cost['tokens']:,} tokens, {cost['seconds']:.1f} s"
    )
    show(Text(line, style="dim"))
    if out is not None:
        show(Text(f"Kept in {out}: result.json, prompt.txt", style="dim"))


def _drawn(result: "Result") -> str:
    total = sum(c.drawn for c in result.candidates)
    total += sum(n for why, n in result.dropped.items() if why != "duplicate")
    reasons = ", ".join(f"{n} {why}" for why, n in result.dropped.items())
    line = f"{len(result.candidates)} different candidates of {total} drawn"
    return line + (f" ({reasons})" if reasons else "")
