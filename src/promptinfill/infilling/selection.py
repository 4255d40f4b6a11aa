"""Selection: every candidate meets a few validation rows, the better half meets more.

Successive halving (Jamieson & Talwalkar 2016): hopeless candidates cost little. Candidates are
compared on the same rows; ties go to the shorter prompt, then to the earlier candidate.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from promptinfill.errors import PromptInfillError
from promptinfill.infilling.candidates import Candidate


@dataclass(frozen=True)
class SelectionOptions:
    """How validation is spent.

    Attributes:
        first_rows: validation rows of the first round; each round doubles them.
        keep: share of the candidates that goes on to the next round.
        exhaustive: try every candidate on every row instead.
    """

    first_rows: int = 8
    keep: float = 0.5
    exhaustive: bool = False

    def __post_init__(self) -> None:
        if self.first_rows < 1:
            raise PromptInfillError(f"first_rows is {self.first_rows}: it must be at least 1")
        if not 0 < self.keep <= 1:
            raise PromptInfillError(f"keep is {self.keep}: it must be above 0 and at most 1")


Score = Callable[[list[tuple[Candidate, int]]], list[float]]
"""(candidate, validation row) pairs -> metric values, one each."""


def rank_key(candidate: Candidate) -> tuple[float, int, int]:
    """Sort key: best mean score, then shorter prompt, then earlier candidate."""
    return (-candidate.score, candidate.tokens, candidate.number)


def select(
    candidates: Sequence[Candidate],
    num_rows: int,
    score: Score,
    options: SelectionOptions,
) -> list[Candidate]:
    """Score candidates in rounds; return all, best first, survivors of later rounds ahead.

    Args:
        candidates: their ``scores`` lists are filled in place.
        num_rows: size of the validation set.
        score: evaluates pairs; called once per round.
    """
    alive = list(candidates)
    out: list[Candidate] = []
    tried = 0
    while alive:
        upto = num_rows if options.exhaustive else min(num_rows, max(options.first_rows, 2 * tried))
        pairs = [(candidate, row) for candidate in alive for row in range(tried, upto)]
        for (candidate, _), value in zip(pairs, score(pairs), strict=True):
            candidate.scores.append(value)
        alive.sort(key=rank_key)
        tried = upto
        if tried == num_rows:
            break
        kept = max(1, round(len(alive) * options.keep))
        out = alive[kept:] + out
        alive = alive[:kept]
    return alive + out
