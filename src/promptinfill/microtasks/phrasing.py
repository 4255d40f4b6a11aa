"""A small alternation grammar for instructions, and pattern families shared by many tasks.

A pattern is text with alternations `<a|b|>` (not nested; an empty choice leaves the part out) and
macros `$NAME`, which stand for common alternations. A pattern is expanded into all its readings,
of which a stable selection is kept, so that no pattern drowns the others.
"""

from __future__ import annotations

import itertools
import re
import zlib
from collections.abc import Iterable, Sequence

MACROS = {
    "$W": "<Write|Output|Give|Print|Return|Write down|Show|State>",
    "$w": "<write|output|give|print|return|write down>",
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
}
_MACRO = re.compile(r"\$[A-Za-z]+")
_CHOICE = re.compile(r"<([^<>]*)>")

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


def expand(pattern: str) -> list[str]:
    """All readings of a pattern, first letter upper case, in a stable order."""
    text = _MACRO.sub(lambda m: MACROS[m.group()], pattern)
    pieces = _CHOICE.split(text)
    choices = [p.split("|") if i % 2 else [p] for i, p in enumerate(pieces)]
    readings = (" ".join("".join(c).split()) for c in itertools.product(*choices))
    readings = (re.sub(r" ([.,?;:])", r"\1", r) for r in readings)
    return list(dict.fromkeys(r[:1].upper() + r[1:] for r in readings))


def expand_all(patterns: Iterable[str], per_pattern: int = 16) -> tuple[str, ...]:
    """The readings of many patterns; at most `per_pattern` of each, the first always kept."""
    kept: dict[str, None] = {}
    for pattern in patterns:
        readings = expand(pattern)
        rest = sorted(readings[1:], key=lambda r: (zlib.crc32(r.encode()), r))
        kept.update(dict.fromkeys(readings[:1] + rest[: per_pattern - 1]))
    return tuple(kept)


def lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def noun_patterns(
    np: str, kind: str, where: str = "of", *, own: str | None = None
) -> tuple[list[str], list[str]]:
    """Patterns for "write NP of the KIND": (training, held out).

    np: noun phrase with alternations and no article ("first <letter|character>"); kind: "word",
    "list", "sentence" or "number"; where: the preposition(s); own: np as it reads after "its".
    """
    macro = {"word": "$WORD", "list": "$LIST", "sentence": "$SENT", "number": "$NUM"}[kind]
    article = "an" if kind[0] in "aeiou" else "a"
    its = own or np
    train = [
        f"$W the {np} {where} {macro}",
        f"What is the {np} {where} {macro}?",
        f"{np} {where} the {kind}",
        f"the {np}",
        f"{np}",
        f"$GIVEN {article} {kind}. $W <its|the> {its}",
        f"<For|In> each <input|{kind}>, $w the {np}",
        f"$F the {np} {where} {macro}",
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
        f"{article} {kind} <goes in|comes in>, its {its} <goes out|comes out>",
    ]
    return train, held_out


def verb_patterns(vps: Sequence[str], kind: str) -> tuple[list[str], list[str]]:
    """Patterns for "VP" where each vp is an imperative about the KIND: (training, held out)."""
    article = "an" if kind[0] in "aeiou" else "a"
    train: list[str] = []
    for vp in vps:
        train += [
            vp,
            f"For each <input|{kind}>, {lower_first(vp)}",
            f"$GIVEN {article} {kind}. {vp}",
            f"{vp} and $w the <result|answer>",
            f"Given {article} {kind}, {lower_first(vp)}",
            f"You will be given {article} {kind} and you need to {lower_first(vp)}",
        ]
    first = lower_first(vps[0])
    held_out = [
        f"<Could|Can> you {first}?",
        f"I <need|want> you to {first}",
        f"Take what you are given and {first}",
        f"When you see {article} {kind}, {first} <at once|right away>",
    ]
    return train, held_out
