"""A small alternation grammar for instructions, and pattern families shared by many tasks.

A pattern is text with alternations `<a|b|>`, which may be nested (an empty choice leaves the part
out), and macros `$NAME`, which stand for common alternations. It is expanded into all its readings,
of which a stable selection is kept, so that no pattern drowns the others.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources

MACROS = {
    "$W": "<Write|Output|Give|Print|Return|Write down|Show|State>",
    "$w": "<write|output|give|print|return|write down>",
    # "$S" opens clauses: "say whether ...", "state how many ...", where "give" would not read well.
    "$S": "<Write|Output|State|Say|Print|Write down>",
    "$s": "<write|output|state|say|print>",
    "$F": "<Find|Extract|Identify|Pick out|Get>",
    "$WORD": "<the word|the given word|the input word|the following word|this word|the input>",
    "$LIST": "<the list|the given list|the input list|the following list|this list|the input>",
    "$SENT": "<the sentence|the given sentence|the input sentence|the following sentence"
    "|this sentence|the input>",
    "$NUM": "<the number|the given number|the input number|the following number|this number"
    "|the input>",
    "$NUMS": "<the two numbers|both numbers|the two input numbers|the numbers in the input"
    "|the given numbers|the pair of numbers>",
    "$GIVEN": "<You will be given|You are given|You get|The input is|Each input is|Here is>",
    "$MANY": "<You will be given|You are given|You get|The input has|Each input has|Here are>",
}
_MACRO = re.compile(r"\$[A-Za-z]+")
_PLAIN = re.compile(r"[^<>|]+")

# Openers before which "please" or "your task is to" read well.
IMPERATIVES = frozenset(
    [
        "write",
        "output",
        "give",
        "print",
        "return",
        "show",
        "state",
        "find",
        "extract",
        "identify",
        "pick",
        "get",
        "add",
        "subtract",
        "take",
        "calculate",
        "compute",
        "negate",
        "rewrite",
        "change",
        "turn",
        "convert",
        "make",
        "put",
        "reverse",
        "sort",
        "count",
        "remove",
        "delete",
        "drop",
        "list",
        "translate",
        "choose",
        "select",
        "tell",
        "name",
        "decide",
        "determine",
        "spell",
        "capitalise",
        "join",
        "swap",
        "exchange",
        "double",
        "repeat",
        "copy",
        "replace",
        "say",
        "answer",
        "form",
        "use",
        "build",
        "classify",
        "work",
        "keep",
        "order",
        "arrange",
        "compare",
        "transform",
        "express",
        "judge",
        "say",
        "separate",
        "split",
        "combine",
        "cut",
        "strip",
        "type",
        "report",
    ]
)


def _readings(pattern: str, at: int, inside: bool) -> tuple[list[str], int]:
    """The readings of `pattern` from `at` to the end of the alternation, and where that is."""
    done: list[str] = []
    current = [""]
    while at < len(pattern):
        sign = pattern[at]
        if sign == "<":
            choices, at = _readings(pattern, at + 1, True)
            current = [head + choice for head in current for choice in choices]
        elif sign == ">" and inside:
            return done + current, at + 1
        elif sign == "|" and inside:
            done += current
            current = [""]
            at += 1
        elif sign in "|>":
            raise ValueError(f"stray {sign!r} in the pattern {pattern!r}")
        else:
            end = _PLAIN.match(pattern, at)
            assert end is not None
            current = [head + end.group() for head in current]
            at = end.end()
    if inside:
        raise ValueError(f"unclosed alternation in the pattern {pattern!r}")
    return current, at


def expand(pattern: str) -> list[str]:
    """All readings of a pattern, first letter upper case, in a stable order."""
    text = _MACRO.sub(lambda m: MACROS[m.group()], pattern)
    readings = (" ".join(reading.split()) for reading in _readings(text, 0, False)[0])
    readings = (re.sub(r" ([.,?;:])", r"\1", reading) for reading in readings)
    return list(dict.fromkeys(map(upper_first, readings)))


@cache
def _reserved_checksums() -> frozenset[int]:
    text = resources.files(__package__).joinpath("lexicon", "reserved.txt").read_text("utf-8")
    return frozenset(int(row, 16) for row in text.split("\n") if row and not row.startswith("#"))


def is_reserved(text: str) -> bool:
    """Whether a wording is a human instruction of an evaluation set: never to be trained on.

    Otherwise a score with human instructions would be a score with memorised ones.
    """
    bare = " ".join(text.lower().split()).rstrip(".:? ")
    return zlib.crc32(bare.encode()) in _reserved_checksums()


def expand_all(patterns: Iterable[str], per_pattern: int = 16) -> tuple[str, ...]:
    """The readings of many patterns; at most `per_pattern` of each, the first always kept."""
    kept: dict[str, None] = {}
    for pattern in patterns:
        readings = [reading for reading in expand(pattern) if not is_reserved(reading)]
        rest = sorted(readings[1:], key=lambda r: (zlib.crc32(r.encode()), r))
        kept.update(dict.fromkeys(readings[:1] + rest[: per_pattern - 1]))
    return tuple(kept)


def lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def upper_first(text: str) -> str:
    return text[:1].upper() + text[1:]


def _lower_lead(pattern: str) -> str:
    """A pattern with a small first letter, in every choice of a leading alternation."""
    if not pattern.startswith("<"):
        return lower_first(pattern)
    head, _, tail = pattern[1:].partition(">")
    return "<" + "|".join(lower_first(choice) for choice in head.split("|")) + ">" + tail


def noun_patterns(
    np: str,
    kind: str,
    where: str = "of",
    *,
    own: str | None = None,
    many: bool = False,
    inside: bool = True,
) -> tuple[list[str], list[str]]:
    """Patterns for "write NP of the KIND": (training, held out).

    np: noun phrase with alternations and no article ("first <letter|character>"); kind: "word",
    "list", "sentence" or "number"; where: the preposition(s); own: np as it reads after "its";
    many: np is plural; inside: the answer stands in the input, so that it can be extracted.
    """
    find = "$F" if inside else "<Find|Work out|Determine>"
    be = "are" if many else "is"
    macro = {"word": "$WORD", "list": "$LIST", "sentence": "$SENT", "number": "$NUM"}[kind]
    article = "an" if kind[0] in "aeiou" else "a"
    its = own or np
    train = [
        f"$W the {np} {where} {macro}",
        f"What {be} the {np} {where} {macro}?",
        f"{np} {where} the {kind}",
        f"the {np}",
        f"{np}",
        f"$GIVEN {article} {kind}. $W <its|the> {its}",
        f"For each <input|{kind}>, $w the {np}",
        f"{find} the {np} {where} {macro}",
        f"Given {article} {kind}, $w its {its}",
        f"You will be given {article} {kind} as input, and you need to $w its {its}",
        f"The <answer|output> is the {np} {where} the <{kind}|input>",
        f"$w the {np}",
        f"<Read|Look at|Take> the {kind} and $w its {its}",
    ]
    held_out = [
        f"<Could|Can> you tell me the {np} {where} this {kind}?",
        f"I <need|want> the {np} {where} the {kind}",
        f"Reply with nothing but the {np} {where} the {kind} you are given",
        f"What I am looking for {be} the {np} {where} the {kind}",
    ]
    return train, held_out


def verb_patterns(vps: Sequence[str], kind: str) -> tuple[list[str], list[str]]:
    """Patterns for "VP" where each vp is an imperative about the KIND: (training, held out)."""
    article = "an" if kind[0] in "aeiou" else "a"
    train: list[str] = []
    for vp in vps:
        train += [
            vp,
            f"For each <input|{kind}>, {_lower_lead(vp)}",
            f"$GIVEN {article} {kind}. {vp}",
            f"Given {article} {kind}, {_lower_lead(vp)}",
            f"You will be given {article} {kind} and you need to {_lower_lead(vp)}",
        ]
        if not vp.startswith(("Write", "Say", "Spell", "<Say", "<Write")):
            train.append(f"{vp} and $w the <result|answer>")
    first = _lower_lead(vps[0])
    held_out = [
        f"<Could|Can> you {first}?",
        f"I <need|want> you to {first}",
        f"Take what you are given and {first}",
        f"When you see {article} {kind}, {first} <at once|right away>",
    ]
    return train, held_out
