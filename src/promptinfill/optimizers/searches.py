"""Searches: how a budget of metric calls is spent on what a proposer proposes.

Each takes the same three things (a proposer, a scorer, guards) and leaves what it learnt in the
scorer: ``scorer.validated()`` is its result. Equal seeds give equal searches.
"""

from collections.abc import Sequence

import numpy as np

from promptinfill.infilling.candidates import make_plans
from promptinfill.infilling.canvas import Example
from promptinfill.infilling.selection import SelectionOptions
from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.optimizers.guards import Guards
from promptinfill.optimizers.proposers import InfillProposer, Proposer, content_seed
from promptinfill.optimizers.remask import (
    header_words,
    random_span,
    remask,
    unlikely_spans,
    word_log_probs,
)
from promptinfill.optimizers.scorer import Scorer, affordable
from promptinfill.templates import Template, escape

HALVING = SelectionOptions()


def one_shot(proposer: Proposer, scorer: Scorer, guards: Guards, *, seed: int) -> None:
    """Propose once, race once, with everything that is left."""
    count = affordable(scorer.remaining, scorer.num_validation, HALVING)
    # Equal and unusable draws fall away: draw half as many again, and race what fits.
    prompts = guards.keep(proposer.propose([], count + count // 2, seed)) if count else []
    scorer.race(prompts, scorer.remaining, HALVING)


def ape(proposer: Proposer, scorer: Scorer, guards: Guards, *, seed: int, rounds: int = 2) -> None:
    """APE's iterative search (arXiv 2211.01910): propose, race, then vary the best, and again.

    The budget is shared equally over the first proposals and ``rounds`` of variation.
    """
    for turn in range(rounds + 1):
        share = scorer.remaining // (rounds + 1 - turn)
        count = affordable(share, scorer.num_validation, HALVING)
        if not count:
            return
        proposed = proposer.propose(scorer.validated(), count + count // 2, seed + turn)
        scorer.race(guards.keep(proposed), share, HALVING)


def opro(
    proposer: Proposer, scorer: Scorer, guards: Guards, *, seed: int, per_step: int = 4
) -> None:
    """OPRO (arXiv 2309.03409): a few proposals a step, each fully scored, history fed back.

    It ends when the budget cannot carry one more prompt, or after ten steps that bring nothing new.
    """
    idle = step = 0
    while scorer.remaining >= scorer.num_validation and idle < 10:
        fresh = [
            prompt
            for prompt in guards.keep(proposer.propose(scorer.validated(), per_step, seed + step))
            if scorer.price(prompt)
        ]
        idle = 0 if fresh else idle + 1
        step += 1
        for prompt in fresh:
            if scorer.price(prompt) <= scorer.remaining:
                scorer.validate(prompt)


def refine(
    start: str,
    dlm: MaskedDiffusionLM,
    examples: Sequence[Example],
    scorer: Scorer,
    guards: Guards,
    *,
    seed: int,
    proposer: InfillProposer,
    holes: Template | None = None,
    feedback: str = "",
    rounds: int = 3,
    share: float = 0.4,
) -> None:
    """Re-mask spans of a whole prompt and denoise them again, given traces and feedback.

    After arXiv 2602.18449, with a model that has learnt to fill prompts. Each round takes the best
    prompt so far, opens holes over its least likely words (every second draw: over a random span),
    fills them while it sees solved examples, and races the results.

    Args:
        start: the prompt as it is, in template syntax; it is validated first, and stays if nothing
            beats it.
        dlm: fills.
        examples: traces with their right answers.
        scorer, guards: budget and rejections.
        seed: decides the draws.
        proposer: counts the cost and holds the options.
        holes: the user's own holes for the first round, in place of the unlikely words.
        feedback: shown above the examples while the holes are filled, never part of the prompt.
        rounds: the budget is shared over them.
        share: of the words that are opened in each draw.
    """
    if scorer.price(start) > scorer.remaining:
        return
    scorer.validate(start)
    for turn in range(rounds):
        budget = scorer.remaining // (rounds - turn)
        count = affordable(budget, scorer.num_validation, HALVING)
        best = Template(scorer.validated()[0][0], guards.frozen.response)
        words = len(header_words(best))
        if not count or not words:
            return
        count += count // 2
        log_probs, cost = word_log_probs(dlm, best, examples[:3])
        proposer.cost += cost
        templates = []
        for i in range(count):
            if holes is not None and turn == 0:
                templates.append(holes)
                continue
            rng = np.random.default_rng([seed, turn, i])
            spans = unlikely_spans(log_probs, share)
            if i % 2:
                spans = [random_span(rng, words, share)]
            templates.append(remask(best, spans, dlm, factor=(1.0, 0.75, 1.25)[i % 3]))
        plans = []
        for i, template in enumerate(templates):
            plan = make_plans(
                template, len(examples), i + 1, content_seed(seed, turn), proposer.options
            )[i]
            plans.append(plan)
        shown = [with_feedback(template, feedback) for template in templates]
        filled = proposer.fill(shown, plans)
        prompts = [without_feedback(prompt, feedback) for prompt in filled]
        scorer.race(guards.keep(prompts), budget, HALVING)


def with_feedback(template: Template, feedback: str) -> Template:
    """``template`` with the feedback as a line above the line of its first field."""
    if not feedback:
        return template
    source, at = str(template), _field_line(str(template), template)
    return Template(source[:at] + feedback_line(feedback) + source[at:], template.response)


def without_feedback(prompt: str, feedback: str) -> str:
    """Take the line out again; the last one, should a filling repeat it."""
    if not feedback:
        return prompt
    head, line, tail = prompt.rpartition(feedback_line(feedback))
    return head + tail if line else prompt


def feedback_line(feedback: str) -> str:
    """One line of literal text in template syntax."""
    return "Feedback: " + escape(" ".join(feedback.split())) + "\n"


def _field_line(source: str, template: Template) -> int:
    first = source.index("{" + template.fields[0] + "}")
    return source.rfind("\n", 0, first) + 1
