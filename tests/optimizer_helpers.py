"""A task, a model that writes words, and a target with a known rule, for optimizers."""

import functools
import zlib
from typing import Any

import torch

from helpers import tiny_dlm, word_tokenizer
from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.targets import Cost
from promptinfill.tasks import Task
from promptinfill.tasks.metrics import exact_match

BLOCK = "\nInput: {input}\nOutput: {output}"


def rows(words: str) -> list[dict[str, str]]:
    return [{"input": word, "output": word[0]} for word in words.split()]


TASK = Task(
    name="first",
    description="first letter",
    template="[MASK:3]" + BLOCK,
    response="output",
    manual=("Write the first letter" + BLOCK,),
    examples=rows("dog cat mouse house tree river"),
    validation=rows("lamp stone fire wind cloud rain snow grass"),
    test=rows("king queen bishop pawn"),
    metric=exact_match,
)


@functools.cache
def tiny() -> MaskedDiffusionLM:
    """Random; only words with a space before them come out."""
    torch.set_num_threads(1)
    tokenizer = word_tokenizer()
    specials = set(tokenizer.all_special_tokens)
    others = tuple(
        token
        for token in tokenizer.get_vocab()
        if token not in specials and not (token.startswith("Ġ") and token[1:].isalpha())
    )
    return tiny_dlm("modernbert", tokenizer, conventions={"suppressed_tokens": others})


class Scripted:
    """Answers with the input's first letter if the instruction, a hash says, suits the input."""

    def __init__(self, instructions: tuple[str, ...] = ()) -> None:
        self.name = "scripted"
        self.batch_size = 4
        self.seen: list[str] = []
        self.batches: list[int] = []
        self.instructions = instructions

    def answer(self, prompts: list[str], *, max_tokens: int) -> tuple[list[str], Cost]:
        self.seen += prompts
        self.batches.append(len(prompts))
        return [self.rule(p) for p in prompts], Cost(len(prompts), 7 * len(prompts))

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def rule(self, prompt: str) -> str:
        if "\nInput: " not in prompt or not prompt.endswith("Output:"):
            number = zlib.crc32(prompt.encode())
            return self.instructions[number % len(self.instructions)] if self.instructions else ""
        instruction, _, rest = prompt.partition("\nInput: ")
        word = rest.split("\n")[0]
        quality = zlib.crc32(instruction.encode()) % 10
        return word[0] if zlib.crc32(word.encode()) % 10 <= quality else "?"


class PlainScripted(Scripted):
    """The same where the prompt ends with a space after the last colon, as templates have it."""

    def rule(self, prompt: str) -> str:
        return super().rule(prompt.rstrip())


def as_examples(given: list[dict[str, str]]) -> list[Any]:
    import dspy

    return [dspy.Example(**row).with_inputs("input") for row in given]
