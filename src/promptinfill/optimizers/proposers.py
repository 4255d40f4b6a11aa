"""Proposers: from what is known so far to new prompts, and what that cost.

``InfillProposer`` lets a masked diffusion LM fill holes; ``TextProposer`` asks any target in words,
the way APE (arXiv 2211.01910) and OPRO (arXiv 2309.03409) do.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, Literal, Protocol

import numpy as np

from promptinfill.infilling.candidates import (
    InfillOptions,
    Plan,
    batches,
    draw_fillings,
    make_plans,
)
from promptinfill.infilling.canvas import Example
from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.optimizers.remask import header_words, random_span, remask, spell
from promptinfill.optimizers.scorer import Unit, at_once, unit_name
from promptinfill.targets import Cost, Target
from promptinfill.templates import Template

History = Sequence[tuple[str, float]]
"""(prompt, validation score), best first."""


class Proposer(Protocol):
    """Proposes prompts in template syntax; equal arguments give equal proposals.

    Attributes:
        cost: of everything proposed so far.
    """

    cost: Cost

    def propose(self, history: History, count: int, seed: int) -> list[str]:
        """``count`` prompts, not yet guarded: some may be unusable or equal."""
        ...


@dataclass
class InfillProposer:
    """Fills the template's holes; with a history, half of the draws re-mask its best prompts.

    Attributes:
        dlm: fills.
        template: with holes.
        examples: solved, never the validation rows.
        options: how candidates are made.
        share: of the words of a known prompt that are masked again.
        unit: keeps finished work; see ``Scorer``.
    """

    dlm: MaskedDiffusionLM
    template: Template
    examples: Sequence[Example]
    options: InfillOptions = field(default_factory=InfillOptions)
    share: float = 0.4
    unit: Unit = at_once
    cost: Cost = field(default_factory=Cost)

    def propose(self, history: History, count: int, seed: int) -> list[str]:
        """See :class:`Proposer`."""
        plans = make_plans(self.template, len(self.examples), count, seed, self.options)
        templates = [self.template] * count
        best = [Template(prompt, self.template.response) for prompt, _ in history[:4]]
        best = [prompt for prompt in best if header_words(prompt)]
        for i in range(1, count if best else 0, 2):
            rng = np.random.default_rng([seed, i, 1])
            prompt = best[(i // 2) % len(best)]
            span = random_span(rng, len(header_words(prompt)), self.share)
            templates[i] = remask(prompt, [span], self.dlm)
            lengths = [hole.length for hole in templates[i].holes]
            plans[i] = replace(plans[i], hole_lengths=lengths, temperature=max(self.temperatures))
        return self.fill(templates, plans)

    @property
    def temperatures(self) -> tuple[float, ...]:
        """Those that plans cycle through."""
        return self.options.temperatures

    def fill(self, templates: Sequence[Template], plans: Sequence[Plan]) -> list[str]:
        """Draw each plan in its own template, many in one batch; prompts in the plans' order."""
        by_number = dict(zip([plan.number for plan in plans], templates, strict=True))
        prompts: dict[int, str] = {}
        for group in batches(plans, self.options.batch_size):
            own = [by_number[plan.number] for plan in group]
            draw = partial(draw_fillings, self.dlm, own, self.examples, group, self.options)
            drawn = self.unit(unit_name("draw", [*map(str, own), *group]), draw)
            self.cost += Cost(drawn["model_calls"], drawn["tokens"])
            for entry in drawn["draws"]:
                template = by_number[entry["number"]]
                prompts[entry["number"]] = str(template.fill(entry["fillings"]))
        return [prompts[plan.number] for plan in plans]


APE_FORWARD = "{examples}\nThe instruction was to"
APE_RESAMPLE = "Say this instruction in other words.\nInput: {instruction}\nOutput:"
OPRO_META = "{history}\n{examples}\nWrite a better instruction than all of these."


@dataclass
class TextProposer:
    """Asks a target for instructions in words.

    A target answers equal prompts equally, so that draws differ by the examples they show.

    Attributes:
        target: the proposing model.
        template: with one hole, where the instruction goes.
        examples: solved, never the validation rows.
        style: "ape" (forward generation; with a history, paraphrases of the best) or "opro"
            (earlier instructions with their scores, worst first, then examples).
        shown: examples in one meta-prompt.
        room: tokens for an instruction.
        unit: keeps finished work; see ``Scorer``.
    """

    target: Target
    template: Template
    examples: Sequence[Example]
    style: Literal["ape", "opro"] = "ape"
    shown: int = 4
    room: int = 16
    unit: Unit = at_once
    cost: Cost = field(default_factory=Cost)

    def propose(self, history: History, count: int, seed: int) -> list[str]:
        """See :class:`Proposer`."""
        asked = [self._ask(history, i, seed) for i in range(count)]
        done = self.unit(unit_name("ask", asked), partial(self._answers, asked))
        self.cost += Cost(done["model_calls"], done["tokens"])
        prompts = []
        for answer in done["answers"]:
            text = " ".join(answer.split("\n")[0].split())
            prompts.append(str(self.template.fill([text] * len(self.template.holes))))
        return prompts

    def _answers(self, asked: list[str]) -> dict[str, Any]:
        answers, cost = self.target.answer(asked, max_tokens=self.room)
        return {"answers": answers} | asdict(cost)

    def _ask(self, history: History, number: int, seed: int) -> str:
        rng = np.random.default_rng([seed, number])
        chosen = rng.choice(len(self.examples), min(self.shown, len(self.examples)), replace=False)
        _, block = self.template.header_and_block()
        layout = Template(spell(block), self.template.response)
        examples = "\n".join(layout.render(self.examples[i]) for i in sorted(chosen.tolist()))
        known = [(self._instruction(prompt), score) for prompt, score in history]
        if self.style == "opro" and known:
            lines = "\n".join(f"text: {text} score: {round(100 * s)}" for text, s in known[3::-1])
            return OPRO_META.format(history=lines, examples=examples)
        if known:
            return APE_RESAMPLE.format(instruction=known[number % min(4, len(known))][0])
        return APE_FORWARD.format(examples=examples)

    def _instruction(self, prompt: str) -> str:
        return " ".join(header_words(Template(prompt, self.template.response)))


def content_seed(*content: object) -> int:
    """A seed from what is worked on: a resumed search draws what the first one drew."""
    digest = hashlib.blake2b(repr(content).encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big")
