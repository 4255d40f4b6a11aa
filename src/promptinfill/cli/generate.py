"""``promptinfill generate``: answer one prompt."""

import sys
from enum import StrEnum
from typing import Annotated

import typer

from promptinfill.cli.denoising import Film, Frame, line
from promptinfill.cli.inputs import unescape_breaks
from promptinfill.cli.options import BEST, Debug, Json, Seed, examples
from promptinfill.cli.state import state_of
from promptinfill.errors import PromptInfillError

EPILOG = examples(
    "promptinfill generate --prompt 'Write the first letter of the word.\\nInput: dog\\nOutput:'",
    "cat prompt.txt | promptinfill generate --model runs/first/model --trace",
)
_THRESHOLD = 0.9


class Order(StrEnum):
    """Which tokens come first; the names of ``diffusion.sampling.ORDERS``."""

    confidence = "confidence"
    entropy = "entropy"
    margin = "margin"
    random = "random"
    left_to_right = "left_to_right"


def generate(
    ctx: typer.Context,
    prompt: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="The prompt (\\n is a line break). It is plain text: braces and \\[MASK] in it "
            "mean nothing.",
            show_default="standard input",
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The masked diffusion model that answers: embedded:NAME, a folder, or a hub id.",
        ),
    ] = BEST,
    max_tokens: Annotated[
        int, typer.Option(min=1, metavar="N", help="Room for the answer, in tokens.")
    ] = 32,
    temperature: Annotated[
        float,
        typer.Option(min=0.0, metavar="T", help="0 takes the most probable token; more is bolder."),
    ] = 0.0,
    order: Annotated[
        Order,
        typer.Option(
            help="Which tokens to settle first. By confidence, all that the model gives at least "
            f"{_THRESHOLD} are settled at once; in any other order, one a step."
        ),
    ] = Order.confidence,
    seed: Seed = 0,
    trace: Annotated[
        bool,
        typer.Option("--trace", help="Show the answer step by step (on standard error)."),
    ] = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Answer a prompt: masks behind it, denoised until nothing is masked."""
    state = state_of(ctx)
    text = _prompt(prompt)
    with state.quiet():
        from promptinfill.data.encoding import decode
        from promptinfill.diffusion.sampling import SamplingOptions
        from promptinfill.models.base import MaskedDiffusionLM
        from promptinfill.targets.diffusion import DiffusionTarget

        with state.busy(f"Opening {model}"):
            dlm = MaskedDiffusionLM.from_pretrained(model)

        def show(frame: Frame) -> None:
            if trace and not json:
                state.err.print(line(frame), soft_wrap=True)

        film = Film(lambda ids: decode(dlm, ids), [max_tokens], dlm.eos_token_id, show)
        options = SamplingOptions(
            order=order.value,
            threshold=_THRESHOLD if order is Order.confidence else None,
            temperature=temperature,
        )
        target = DiffusionTarget(
            dlm, options=options, seed=seed, on_step=film.watch if trace else None
        )
        answers, cost = target.answer([text], max_tokens=max_tokens)
    if json:
        steps = {"trace": [frame.to_json() for frame in film.frames[1:]]} if trace else {}
        state.print_json(
            {
                "answer": answers[0],
                "prompt": text,
                "model": model,
                "cost": {"model_calls": cost.model_calls, "tokens": cost.tokens},
            }
            | steps
        )
    else:
        state.out.file.write(answers[0] + "\n")


def _prompt(given: str | None) -> str:
    if given is not None:
        text = unescape_breaks(given)
    elif sys.stdin.isatty():
        raise PromptInfillError("there is no prompt: give --prompt TEXT, or pipe one in")
    else:
        text = sys.stdin.read().removesuffix("\n")
    if not text.strip():
        raise PromptInfillError("the prompt is empty: give some text to answer")
    return text
