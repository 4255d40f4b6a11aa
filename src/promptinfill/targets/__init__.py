"""Targets: models that answer prompts, batched, and count what it cost."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class Cost:
    """What a piece of work cost: rows through a model, and tokens read in those rows."""

    model_calls: int = 0
    tokens: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.model_calls + other.model_calls, self.tokens + other.tokens)


@runtime_checkable
class Target(Protocol):
    """Maps rendered prompts to answers.

    A target may also have ``settings``, plain JSON: what decides its answers besides the name, so
    that a run folder is not continued with other answers.

    Attributes:
        name: what answers, for artefacts.
        batch_size: how many prompts it likes at once.
    """

    name: str
    batch_size: int

    def answer(self, prompts: list[str], *, max_tokens: int) -> tuple[list[str], Cost]:
        """One answer for each prompt, surrounding white space removed, and the cost.

        The answer to a prompt depends on the prompt and ``max_tokens`` alone.
        """
        ...

    def count_tokens(self, text: str) -> int:
        """Length of ``text`` in the target's own tokens."""
        ...
