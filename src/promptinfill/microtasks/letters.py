"""Tasks about the letters of one word."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from functools import cache

from promptinfill.microtasks import words
from promptinfill.microtasks.core import Item, MicroTask, split_by
from promptinfill.microtasks.define import define
from promptinfill.microtasks.phrasing import noun_patterns, verb_patterns

_PSEUDO = 0.3
_INSTRUCTION_WORDS = 0.06


@cache
def _instruction_words() -> frozenset[str]:
    return frozenset(words.lines("instruction_words"))


def any_word(rng: random.Random) -> str:
    """A made-up word, one of the instructions (a model must know its letters), or a plain one."""
    roll = rng.random()
    if roll < _PSEUDO:
        return words.pseudo_word(rng)
    if roll < _PSEUDO + _INSTRUCTION_WORDS:
        return rng.choice(words.lines("instruction_words"))
    return rng.choice(words.plain_words())


def _word_task(
    function: Callable[[str], str],
    *,
    low: int = 2,
    usable: Callable[[str], bool] = lambda word: True,
    present: Callable[[random.Random, str], str] = lambda rng, word: word,
) -> Callable[[random.Random, str], Item]:
    def draw(rng: random.Random) -> tuple[Item, str | None]:
        while True:
            word = any_word(rng)
            if len(word) >= low and usable(word):
                break
        shown = present(rng, word)
        # Words of the instructions stay in train: a whole-token word is spelled only if seen.
        return Item(shown, function(shown)), None if word in _instruction_words() else word

    return split_by(draw)


def vowels_of(word: str) -> str:
    return re.sub("[^aeiou]", "", word.lower())


def without_vowels(word: str) -> str:
    return re.sub("[aeiou]", "", word)


def _some_capital(rng: random.Random, word: str) -> str:
    return word.capitalize() if rng.random() < 0.12 else word


def _upper(rng: random.Random, word: str) -> str:
    return word.upper() if rng.random() < 0.7 else word.capitalize()


_LC = "<letter|character>"
_LCS = "<letters|characters>"


def tasks() -> list[MicroTask]:
    found: list[MicroTask] = []

    def add(
        name: str,
        function: Callable[[str], str],
        manual: str,
        patterns: tuple[list[str], list[str]],
        extra: list[str],
        *,
        low: int = 2,
        usable: Callable[[str], bool] = lambda word: True,
        present: Callable[[random.Random, str], str] = lambda rng, word: word,
        held_out: bool = False,
        weight: float = 1.0,
    ) -> None:
        make = _word_task(function, low=low, usable=usable, present=present)
        found.append(
            define(name, "letters", make, manual, patterns, extra, held_out=held_out, weight=weight)
        )

    add(
        "first_letter",
        lambda w: w[0],
        "Write the first letter of the given word",
        noun_patterns(f"<first|first|initial> {_LC}", "word", "<of|in>"),
        [
            f"<Which|What> {_LC} does the word start with?",
            f"$W the {_LC} that the word <starts|begins> with",
            "Keep only the first letter",
        ],
        present=_some_capital,
        weight=1.5,
    )
    add(
        "last_letter",
        lambda w: w[-1],
        "Write the last letter of the word",
        noun_patterns(f"<last|final> {_LC}", "word", "<of|in>"),
        [
            f"<Which|What> {_LC} does the word end with?",
            f"$W the {_LC} that the word ends with",
            "Keep only the last letter",
        ],
    )
    for name, ordinal, low, index in (
        ("second_letter", "second", 2, 1),
        ("third_letter", "third", 3, 2),
    ):
        add(
            name,
            lambda w, i=index: w[i],  # type: ignore[misc]
            f"Write the {ordinal} letter of the word",
            noun_patterns(f"{ordinal} {_LC}", "word", "<of|in>"),
            [
                f"Which {_LC} <is|comes> {ordinal} in the word?",
                f"$W the {_LC} at the {ordinal} position of $WORD",
                f"Keep only the {ordinal} letter",
            ],
            low=low,
            weight=1.5,
        )
    add(
        "letters_list",
        " ".join,
        "Write the letters of the word separated by spaces",
        verb_patterns(
            [
                f"Write the {_LCS} of the word <separated by spaces|with spaces between them>",
                f"Put a space between <the|all the> {_LCS} of the word",
                f"<Break|Split> the word into its {_LCS}, separated by spaces",
            ],
            "word",
        ),
        [
            "Spell the word",
            "Spell out $WORD with spaces",
            f"List the {_LCS} of $WORD",
            f"List all the {_LCS} of $WORD separated by spaces",
            "<letters|letter by letter>, with spaces",
            f"$W each {_LC} of $WORD followed by a space",
            f"How do you spell the word, one {_LC} at a time?",
            f"What are the {_LCS} of $WORD?",
        ],
        weight=1.5,
    )
    for name, joiner, thing in (
        ("letters_commas", ", ", "commas"),
        ("letters_hyphens", "-", "hyphens"),
    ):
        one = thing[:-1]
        add(
            name,
            joiner.join,
            f"Write the letters of the word separated by {thing}",
            verb_patterns(
                [
                    f"Write the {_LCS} of the word <separated by|with> {thing}",
                    f"Put a {one} between the {_LCS} of the word",
                ],
                "word",
            ),
            [
                f"Spell $WORD with {thing}",
                f"List the {_LCS} of $WORD with {thing} between them",
                f"letters, {thing} between",
                f"Split $WORD into {_LCS} joined by {thing}",
            ],
        )
    add(
        "reverse_word",
        lambda w: w[::-1],
        "Reverse the word",
        verb_patterns(
            [
                "Reverse the word",
                "Write the word backwards",
                f"Write the {_LCS} of the word in reverse order",
                "Spell the word backwards",
            ],
            "word",
        ),
        ["$W $WORD backwards", "backwards", "reversed word", "What is $WORD spelled backwards?"],
        low=3,
        usable=lambda w: len(w) <= 8,
    )
    add(
        "word_length",
        lambda w: str(len(w)),
        "Count the letters of the word",
        noun_patterns(f"number of {_LCS}", "word", "in", inside=False),
        [
            f"<Count the|Count all the> {_LCS} <of|in> $WORD",
            f"How many {_LCS} <does the word have|are in the word|are there in $WORD>?",
            "$W the length of $WORD",
            "word length",
            "letter count",
            "How long is the word?",
        ],
    )
    add(
        "upper_case",
        str.upper,
        "Write the word in capital letters",
        verb_patterns(
            [
                "Write the word in <capital letters|upper case|capitals>",
                "Convert the word to <upper case|capital letters>",
                "Make all the letters of the word <capital|upper case>",
            ],
            "word",
        ),
        ["$W $WORD in <capitals|uppercase>", "upper case", "Uppercase $WORD", "all capitals"],
    )
    add(
        "lower_case",
        str.lower,
        "Write the word in lower case",
        verb_patterns(
            [
                "Write the word in <lower case|small letters|lower case letters>",
                "Convert the word to <lower case|small letters>",
                "Remove the capital letters by making them small",
            ],
            "word",
        ),
        ["$W $WORD in <lowercase|small letters>", "lower case", "Lowercase $WORD", "no capitals"],
        present=_upper,
    )
    add(
        "capitalise",
        str.capitalize,
        "Capitalise the first letter of the word",
        verb_patterns(
            [
                "Capitalise the <first letter of the word|word>",
                "Write the word with a capital first letter",
                "Make the first letter of the word <a capital|upper case>",
            ],
            "word",
        ),
        ["capitalised", "Begin $WORD with a capital letter", "$W $WORD as if it were a name"],
    )
    for name, which, cut in (
        ("remove_first_letter", "<first|first|initial>", lambda w: w[1:]),
        ("remove_last_letter", "<last|final>", lambda w: w[:-1]),
    ):
        plain = "first" if name == "remove_first_letter" else "last"
        add(
            name,
            cut,
            f"Remove the {plain} letter of the word",
            verb_patterns(
                [
                    f"<Remove|Delete|Drop> the {which} {_LC} <of|from> the word",
                    f"Write the word without its {which} {_LC}",
                ],
                "word",
            ),
            [
                f"$W everything <but|except> the {plain} {_LC} of $WORD",
                f"$W $WORD without the {plain} {_LC}",
                f"{which} letter removed",
                f"all but the {plain} letter",
                f"What <remains|is left> of $WORD without its {plain} {_LC}?",
            ],
            low=3,
        )
    add(
        "double_word",
        lambda w: f"{w} {w}",
        "Write the word twice",
        verb_patterns(
            ["Write the word <twice|two times>", "Repeat the word", "Say the word two times"],
            "word",
        ),
        ["twice", "$W $WORD twice, separated by a space", "$W two copies of $WORD", "Double $WORD"],
    )
    add(
        "first_three_letters",
        lambda w: w[:3],
        "Write the first three letters of the word",
        noun_patterns(f"first three {_LCS}", "word", "of", many=True),
        [
            "Shorten $WORD to three letters",
            "Keep only the first three letters",
            "Which three letters does the word start with?",
        ],
        low=4,
    )
    add(
        "last_two_letters",
        lambda w: w[-2:],
        "Write the last two letters of the word",
        noun_patterns(f"last two {_LCS}", "word", "of", many=True),
        ["Keep only the last two letters", "Which two letters does the word end with?"],
        low=3,
    )
    add(
        "vowels",
        vowels_of,
        "Write the vowels of the word",
        noun_patterns("vowels", "word", "<of|in>", many=True),
        ["Keep only the vowels", "Which vowels are in the word?", "$W only the vowels of $WORD"],
        usable=lambda w: bool(vowels_of(w)),
    )
    add(
        "remove_vowels",
        without_vowels,
        "Remove the vowels from the word",
        verb_patterns(
            [
                "<Remove|Delete|Drop> <the|all the|all> vowels from the word",
                "Write the word without <its|the> vowels",
                "Keep only the consonants of the word",
            ],
            "word",
        ),
        ["$W the consonants of $WORD", "without vowels", "$W $WORD without any vowels"],
        usable=lambda w: bool(vowels_of(w)) and bool(without_vowels(w)),
    )
    add(
        "first_and_last_letter",
        lambda w: f"{w[0]} {w[-1]}",
        "Write the first and the last letter of the word",
        noun_patterns(f"first and <the last|last> {_LC}", "word", "of"),
        ["$W the two outer letters of $WORD", "Keep only the first and the last letter"],
        low=3,
    )
    add(
        "second_to_last_letter",
        lambda w: w[-2],
        "Write the second to last letter of the word",
        noun_patterns(f"<second to last|next to last|last but one> {_LC}", "word", "of"),
        [f"$W the {_LC} before the last one", "Which letter comes just before the last letter?"],
        low=3,
        held_out=True,
    )
    return found
