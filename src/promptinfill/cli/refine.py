"""``promptinfill refine``: a prompt that exists, its weak words masked and written again."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from promptinfill.cli import inputs, views
from promptinfill.cli.options import BEST, Debug, Json, Seed, examples
from promptinfill.cli.state import State, state_of
from promptinfill.errors import PromptInfillError
from promptinfill.tasks import Splits, Task, get_task
from promptinfill.tasks.metrics import get_metric
from promptinfill.templates import Field, Template

if TYPE_CHECKING:
    from promptinfill.optimizers.methods import Optimized

EPILOG = examples(
    "promptinfill refine --task plural",
    "promptinfill refine --prompt system.txt --examples traces.jsonl --feedback 'Too long.'",
    "promptinfill refine --prompt 'Say it.\\nQ: {q}\\nA: {a}' --examples qa.jsonl --json",
)
_SPLITS = {"examples": 20, "validation": 24, "test": 50}


def refine(
    ctx: typer.Context,
    prompt: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|TEXT",
            help="The prompt as it is, a file or the text itself (\\n is a line break): {name} is "
            "a field, and it ends with the field of the answer. What stands above the line of the "
            "first field is refined.",
            show_default="the task's own manual prompt",
        ),
    ] = None,
    examples: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.jsonl",
            help="Interaction traces with the right answers, one JSON object with the prompt's "
            "fields a line; shared out into examples, validation and test rows.",
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(metavar="TASK", help="A task's rows and metric instead of --examples."),
    ] = None,
    feedback: Annotated[
        str,
        typer.Option(
            metavar="TEXT",
            help="What was wrong with the answers; the model sees it while it writes.",
            show_default=False,
        ),
    ] = "",
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="exact_match, exact_text, contains, set_match or f1.",
            show_default="the task's own, or exact_match",
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(metavar="NAME", help="The masked diffusion model that writes.")
    ] = BEST,
    budget: Annotated[
        int, typer.Option(min=1, metavar="N", help="Metric calls: never exceeded.")
    ] = 300,
    share: Annotated[
        float, typer.Option(metavar="X", help="Share of the words that each draw masks.")
    ] = 0.4,
    max_tokens: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Longest prompt.", show_default="any length"),
    ] = None,
    seed: Seed = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Keep the run here: the same command continues it after a stop."
        ),
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Mask the weak words of a prompt and write them again, given traces and feedback.

    The words that the model finds least likely beside the solved examples are masked and filled
    anew, in rounds; validation rows decide. The prompt stays as it is if nothing beats it.
    """
    state = state_of(ctx)
    splits = Splits(**_SPLITS, seed=seed)
    if (task is None) == (examples is None):
        raise PromptInfillError("say what to refine on: either --task TASK, or --examples FILE")
    if task is not None:
        with state.busy(f"Opening task {task}"):
            work = get_task(task, splits)
        start = work.manual[0] if prompt is None else inputs.read_manual(prompt, work.response)
    else:
        if prompt is None or examples is None:
            raise PromptInfillError("--examples needs --prompt FILE|TEXT: what to refine")
        start = inputs.text_or_file(prompt, "--prompt", "{")
        work = _task_of(start, examples, splits)
    state.use_folder(out)
    with state.quiet():
        from promptinfill.models.base import MaskedDiffusionLM
        from promptinfill.optimizers.methods import refine_prompt

        with state.busy(f"Opening {model}"):
            dlm = MaskedDiffusionLM.from_pretrained(model)
        if metric is not None:
            work = replace(work, metric=get_metric(metric))
        with state.busy("Refining"):
            found = refine_prompt(
                start,
                work,
                dlm=dlm,
                budget=budget,
                seed=seed,
                feedback=feedback,
                share=share,
                max_prompt_tokens=max_tokens,
                folder=out,
                test=True,
            )
    if json:
        state.print_json({"task": task, "start": start} | asdict(found))
    else:
        _show(state, start, found)


def _task_of(prompt: str, examples: Path, splits: Splits) -> Task:
    parsed = Template(prompt)
    if not parsed.parts or not isinstance(parsed.parts[-1], Field):
        raise PromptInfillError(
            "the prompt must end with the field that holds the answer, for example {output}"
        )
    template = Template(prompt, parsed.parts[-1].name)
    job = inputs.job_from_files(template, examples, splits)
    return Task(
        name=job.name,
        description="",
        template=prompt,
        response=template.response or "",
        manual=(prompt,),
        examples=job.examples,
        validation=job.validation,
        test=job.test,
        metric=job.metric,
    )


def _show(state: State, start: str, found: "Optimized") -> None:
    show = state.out.print
    show()
    unchanged = found.prompt == start
    show(views.prompt_panel(found.prompt, "Nothing beat it" if unchanged else "Refined prompt"))
    line = f"validation {views.score(found.score)}"
    if found.test is not None:
        line += f", test {views.score(found.test.score)} ({views.interval(found.test)})"
    show(Text(f"{line}, {found.tokens} tokens"))
    calls = found.target_cost + found.proposer_cost
    spent = f"{found.metric_calls} metric calls, {calls.model_calls:,} model calls, "
    show(Text(f"{spent}{calls.tokens:,} tokens, {found.seconds:.1f} s", style="dim"))
