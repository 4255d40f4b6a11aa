"""One small infilling job: a template, rows, a tiny model, and a target with a known rule."""

import zlib
from typing import Any

import torch

from helpers import tiny_dlm, word_tokenizer
from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.targets import Cost
from promptinfill.templates import Template


def rows(words: str) -> list[dict[str, str]]:
    return [{"input": word, "output": word[0]} for word in words.split()]


TEMPLATE = Template("[MASK:3]\nInput: {input}\nOutput: {output}", response="output")
MANUAL = "Write the first letter.\nInput: {input}\nOutput: {output}"
EXAMPLES = rows("dog cat mouse house tree river")
VALIDATION = rows("lamp stone fire wind cloud")
TEST = rows("king queen bishop")


def make_dlm(**how: Any) -> MaskedDiffusionLM:
    """Random; only words and letters with a space before them come out."""
    torch.set_num_threads(1)
    tokenizer = word_tokenizer()
    specials = set(tokenizer.all_special_tokens)
    others = tuple(
        token
        for token in tokenizer.get_vocab()
        if token not in specials and not (token.startswith("Ġ") and token[1:].isalpha())
    )
    return tiny_dlm("modernbert", tokenizer, conventions={"suppressed_tokens": others}, **how)


class Scripted:
    """Answers with the input's first letter if the instruction, a hash says, suits the input.

    Written to the Target protocol, and it keeps every prompt that it saw.
    """

    def __init__(self, batch_size: int = 4) -> None:
        self.name = "scripted"
        self.batch_size = batch_size
        self.seen: list[str] = []
        self.calls = 0

    def answer(self, prompts: list[str], *, max_tokens: int) -> tuple[list[str], Cost]:
        self.calls += 1
        self.seen += prompts
        return [self.rule(text) for text in prompts], Cost(len(prompts), 7 * len(prompts))

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    @staticmethod
    def rule(prompt: str) -> str:
        instruction, line, _ = prompt.split("\n")
        word = line.removeprefix("Input: ")
        quality = zlib.crc32(instruction.encode()) % 10
        return word[0] if zlib.crc32(word.encode()) % 10 <= quality else "?"
