"""One place that spends the budget: a metric call is one prompt answered and scored on one row."""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from promptinfill.errors import PromptInfillError
from promptinfill.evaluation.scoring import score_answer
from promptinfill.infilling.candidates import Candidate
from promptinfill.infilling.selection import SelectionOptions, select
from promptinfill.targets import Cost, Target
from promptinfill.tasks.metrics import Metric
from promptinfill.templates import Template

Unit = Callable[[str, Callable[[], Any]], Any]
"""(name, compute) -> value: what a run folder has finished is not computed again."""


def at_once(name: str, compute: Callable[[], Any]) -> Any:
    """A unit that nobody keeps."""
    return compute()


def unit_name(kind: str, content: object) -> str:
    """A name that holds what was asked: finished work never meets another question."""
    return f"{kind}/{hashlib.blake2b(repr(content).encode(), digest_size=8).hexdigest()}"


class BudgetSpentError(PromptInfillError):
    """A search asked for more metric calls than its budget holds; nothing was scored."""


@dataclass
class Scorer:
    """Answers and scores (prompt, row) pairs, each at most once, never beyond the budget.

    Attributes:
        rows: the validation rows, then any others that a search may look at (a GEPA minibatch).
        num_validation: how many of them are validation rows.
        response: field of the right answer.
        target: answers the prompts.
        metric: (answer, reference) -> 0..1.
        room: tokens for an answer.
        budget: metric calls; a pair scored before costs nothing.
        unit: keeps finished work, as ``Run.unit``; by default nothing is kept.
    """

    rows: Sequence[dict[str, str]]
    num_validation: int
    response: str
    target: Target
    metric: Metric
    room: int
    budget: int
    unit: Unit = at_once
    cost: Cost = field(default_factory=Cost)
    known: dict[tuple[str, int], float] = field(default_factory=dict)
    answers: dict[tuple[str, int], str] = field(default_factory=dict)

    @property
    def metric_calls(self) -> int:
        """Metric calls made."""
        return len(self.known)

    @property
    def remaining(self) -> int:
        """Metric calls left."""
        return self.budget - len(self.known)

    def score(self, pairs: Sequence[tuple[str, int]]) -> list[float]:
        """Metric values of (prompt in template syntax, row number) pairs.

        Raises:
            BudgetSpentError: they would cost more than what remains; none of them was scored.
        """
        new = [pair for pair in dict.fromkeys(pairs) if pair not in self.known]
        if len(new) > self.remaining:
            raise BudgetSpentError(
                f"{len(new)} more metric calls asked for, {self.remaining} of {self.budget} left"
            )
        if new:
            templates = {prompt: Template(prompt, self.response) for prompt, _ in new}
            asked = [templates[prompt].prompt(self.rows[i]) for prompt, i in new]
            done = self.unit(unit_name("answer", asked), partial(self._answer, asked))
            answers = done["answers"]
            self.cost += Cost(done["model_calls"], done["tokens"])
            for pair, answer in zip(new, answers, strict=True):
                value = score_answer(self.metric, answer, self.rows[pair[1]], self.response)
                self.known[pair], self.answers[pair] = value, answer
        return [self.known[pair] for pair in pairs]

    def _answer(self, asked: list[str]) -> dict[str, Any]:
        answers, cost = self.target.answer(asked, max_tokens=self.room)
        return {"answers": answers} | asdict(cost)

    def validate(self, prompt: str) -> float:
        """Mean over all validation rows."""
        return mean(self.score([(prompt, i) for i in range(self.num_validation)]))

    def price(self, prompt: str) -> int:
        """Metric calls that :meth:`validate` would still make."""
        return sum((prompt, i) not in self.known for i in range(self.num_validation))

    def tokens(self, prompt: str) -> int:
        """Length of a prompt with its fields empty, in the target's tokens."""
        template = Template(prompt, self.response)
        return self.target.count_tokens(template.prompt(dict.fromkeys(template.fields, "")))

    def validated(self) -> list[tuple[str, float]]:
        """Prompts that met every validation row, best first; ties to the shorter, then earlier."""
        prompts = dict.fromkeys(prompt for prompt, _ in self.known)
        whole = [(prompt, self.validate(prompt)) for prompt in prompts if not self.price(prompt)]
        return sorted(whole, key=lambda entry: (-entry[1], self.tokens(entry[0])))

    def race(
        self, prompts: Sequence[str], budget: int, options: SelectionOptions | None = None
    ) -> list[Candidate]:
        """Successive halving within ``budget`` metric calls, best first.

        Only as many of the first prompts take part as the budget can carry to the end; an empty
        list if it cannot carry one.
        """
        options = options or SelectionOptions()
        distinct = list(dict.fromkeys(prompts))
        count = affordable(min(budget, self.remaining), self.num_validation, options)
        racers = [
            Candidate(i, [], prompt, self.tokens(prompt), {}, 0.0)
            for i, prompt in enumerate(distinct[:count])
        ]
        if not racers:
            return []
        return select(
            racers,
            self.num_validation,
            lambda pairs: self.score([(c.prompt, i) for c, i in pairs]),
            options,
        )


def race_price(candidates: int, rows: int, options: SelectionOptions) -> int:
    """Metric calls that :func:`promptinfill.infilling.selection.select` makes."""
    price = tried = 0
    while True:
        upto = rows if options.exhaustive else min(rows, max(options.first_rows, 2 * tried))
        price += candidates * (upto - tried)
        tried = upto
        if tried >= rows:
            return price
        candidates = max(1, round(candidates * options.keep))


def affordable(budget: int, rows: int, options: SelectionOptions) -> int:
    """The most candidates whose race costs at most ``budget`` metric calls; may be 0."""
    count = 0
    while race_price(count + 1, rows, options) <= budget:
        count += 1
    return count


def mean(values: Sequence[float]) -> float:
    """The mean, summed exactly; 0 of nothing."""
    return math.fsum(values) / len(values) if values else 0.0
