"""Guards: a proposed prompt is used as it is or rejected for a reason, never repaired."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from promptinfill.errors import PromptInfillError, TemplateError
from promptinfill.infilling.candidates import malformed
from promptinfill.optimizers.remask import spell
from promptinfill.templates import Field, Hole, Template

_MASK_TEXTS = ("[MASK", "<mask", "<|mask", "|mask|>", "<|mdm_mask|>")


@dataclass
class Guards:
    """What a prompt must keep, and what it may not hold.

    Attributes:
        frozen: the template that it was made from: its literal text and its fields must stay, in
            order. Holes stand for any text.
        max_tokens: the longest prompt allowed, fields empty; None for any length.
        ngram: a run of so many words that stands in a value of the examples is a copy; 0 allows it.
        count_tokens: of the model that will read the prompt.
        rejected: how many prompts were refused, by reason.
    """

    frozen: Template
    count_tokens: Callable[[str], int]
    examples: Sequence[Mapping[str, str]] = ()
    max_tokens: int | None = None
    ngram: int = 4
    rejected: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        if self.max_tokens is not None and self.max_tokens < 1:
            raise PromptInfillError(
                f"the prompt-token limit is {self.max_tokens}: it must be 1 or more"
            )
        if self.ngram < 0:
            raise PromptInfillError(f"ngram is {self.ngram}: give 0 (off) or the length of a copy")
        self._grams = {
            gram
            for example in self.examples
            for value in example.values()
            for gram in _grams(value, self.ngram)
        }

    def reason(self, prompt: str) -> str | None:
        """Why ``prompt`` (template syntax) cannot be used, or None."""
        try:
            template = Template(prompt, self.frozen.response)
        except TemplateError:
            return "lost field"
        if template.holes or any(mask in prompt.lower() for mask in _MASK_TEXTS[1:]):
            return "mask left"
        if template.fields != self.frozen.fields:
            return "lost field"
        filled = _between(self.frozen, str(template))
        if filled is None or _places(template) != _places(self.frozen):
            return "lost frozen text"
        for text in filled:
            if why := malformed(text.strip()):
                return why
        empty = dict.fromkeys(template.fields, "")
        length = self.count_tokens(template.prompt(empty))
        if self.max_tokens is not None and length > self.max_tokens:
            return "too long"
        if any(gram in self._grams for text in filled for gram in _grams(text, self.ngram)):
            return "copies an example"
        return None

    def keep(self, prompts: Iterable[str]) -> list[str]:
        """The distinct usable prompts in order; the others are counted in ``rejected``."""
        kept: dict[str, None] = {}
        for prompt in prompts:
            if why := self.reason(prompt):
                self.rejected[why] += 1
            elif prompt in kept:
                self.rejected["duplicate"] += 1
            else:
                kept[prompt] = None
        return list(kept)


def _between(frozen: Template, prompt: str) -> list[str] | None:
    """The texts that stand where ``frozen`` has holes, or None if other text has changed."""
    pattern = "".join(
        "(.*)" if isinstance(part, Hole) else re.escape(spell([part])) for part in frozen.parts
    )
    found = re.fullmatch(pattern, prompt, flags=re.DOTALL)
    return list(found.groups()) if found else None


def _places(template: Template) -> list[str]:
    return [part.name for part in template.parts if isinstance(part, Field)]


def _grams(text: str, n: int) -> list[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)] if n else []
