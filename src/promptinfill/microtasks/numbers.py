"""Tasks about one or two numbers, written in digits or in words."""

from __future__ import annotations

import random
from collections.abc import Callable

from promptinfill.microtasks import number_lists, words
from promptinfill.microtasks.core import Item, MicroTask, split_by
from promptinfill.microtasks.define import define
from promptinfill.microtasks.phrasing import noun_patterns, verb_patterns

_LARGER = "<larger|bigger|greater>"


def _number_task(
    function: Callable[[int], str],
    draw_number: Callable[[random.Random], int],
    show: Callable[[int], str] = str,
) -> Callable[[random.Random, str], Item]:
    def draw(rng: random.Random) -> tuple[Item, str | None]:
        number = draw_number(rng)
        return Item(show(number), function(number)), str(number)

    return split_by(draw)


def _pair_task(
    function: Callable[[int, int], int | str],
    *,
    distinct: bool = False,
    three_digits: float = 0.0,
) -> Callable[[random.Random, str], Item]:
    def draw(rng: random.Random) -> tuple[Item, str | None]:
        while True:
            top = 1000 if rng.random() < three_digits else 100
            a, b = rng.randrange(top), rng.randrange(top)
            if not (distinct and a == b):
                break
        separator = ", " if rng.random() < 0.15 else " "
        return Item(f"{a}{separator}{b}", str(function(a, b))), f"{a} {b}"

    return split_by(draw)


def below_ten_thousand(rng: random.Random) -> int:
    """Mostly two to four digits, like numbers people ask about."""
    return rng.randrange(rng.choices((100, 1000, 10_000), (15, 35, 50))[0])


def _below(top: int, low: int = 0) -> Callable[[random.Random], int]:
    return lambda rng: rng.randrange(low, top)


def _up_to_thousand(rng: random.Random) -> int:
    return rng.randrange(rng.choice((100, 100, 1000)))


def _from_ten(rng: random.Random) -> int:
    return rng.randrange(10, rng.choice((100, 1000, 10_000)))


def tasks() -> list[MicroTask]:
    found: list[MicroTask] = []

    def of_number(
        name: str,
        make: Callable[[random.Random, str], Item],
        manual: str,
        patterns: tuple[list[str], list[str]],
        extra: list[str],
        *,
        held_out: bool = False,
        weight: float = 1.0,
    ) -> None:
        found.append(
            define(name, "numbers", make, manual, patterns, extra, held_out=held_out, weight=weight)
        )

    def of_pair(
        name: str,
        make: Callable[[random.Random, str], Item],
        manual: str,
        train: list[str],
        other: list[str],
        *,
        weight: float = 1.0,
        held_out: bool = False,
    ) -> None:
        found.append(
            define(name, "numbers", make, manual, (train, other), held_out=held_out, weight=weight)
        )

    of_pair(
        "sum",
        _pair_task(lambda a, b: a + b, three_digits=0.05),
        "Add the two numbers",
        [
            "Add $NUMS",
            "$W the sum of $NUMS",
            "$W the <result|total> of adding $NUMS",
            "Sum $NUMS",
            "sum of <the|the two|both> numbers",
            "the sum",
            "sum",
            "What is the sum of $NUMS?",
            "What do you get when you add $NUMS?",
            "$MANY two numbers. $W their sum",
            "$MANY two numbers. Add them and $w the <answer|result>",
            "<For|In> each input, $w the sum of the two numbers",
            "For each <input|pair>, add the numbers and $w the <result|total>",
            "Add the <first number|first> to the second <number|one>",
            "Add the following <two |>numbers",
            "Add the numbers together",
            "<Calculate|Compute|Find> the sum of <the two numbers|the pair|the following numbers>",
            "Apply <addition|the plus operator> to $NUMS",
            "You will be given two numbers as input, and you need to $w their sum",
            "How much are the two numbers together?",
            "Take the two numbers and $w the first plus the second",
            "The output is the first number plus the second number",
        ],
        [
            "Put the numbers together by addition",
            "What does the first number plus the second one make?",
            "<Could|Can> you add these two numbers?",
            "I need the total of the two numbers",
        ],
        weight=3.0,
    )
    of_pair(
        "difference",
        _pair_task(lambda a, b: a - b, three_digits=0.05),
        "Write the first number minus the second number",
        [
            "Subtract the second <number|one> from the first <number|one|>",
            "Subtract the second number in the input from the first <number|one>",
            "$W the first number minus the second <number|one>",
            "$W the result of subtracting the second number from the first <number|one|>",
            "$W the difference <between|of> the first and the second number",
            "$W the difference between $NUMS",
            "What is the first number minus the second <number|one>?",
            "What is left when you take the second number from the first?",
            "first number minus second number",
            "first minus second",
            "the difference",
            "difference",
            "$MANY two numbers. Subtract the second from the first <and $w the result|>",
            "$MANY two numbers. $W the first minus the second",
            "<For|In> each input, subtract the second number from the first <number|one|>",
            "For each <input|pair> of numbers, $w the first minus the second",
            "Take the second number away from the first <number|one>",
            "Take the first number and subtract the second number from it",
            "<Calculate|Compute|Find> the difference <of|between> $NUMS",
            "Apply <subtraction|the minus operator> to $NUMS",
            "You will be given two numbers as input, and you need to $w the first minus the second",
            "The output is the first number minus the second number",
        ],
        [
            "Reduce the first number by the second",
            "How much is the first number less the second one?",
            "<Could|Can> you take the second number off the first?",
            "I need the first number with the second one subtracted",
        ],
        weight=3.0,
    )
    for name, pick, word, sign in (
        ("larger_number", max, _LARGER, "more"),
        ("smaller_number", min, "<smaller|lower|lesser>", "less"),
    ):
        plain = "larger" if name == "larger_number" else "smaller"
        of_pair(
            name,
            _pair_task(pick, distinct=True, three_digits=0.2),
            f"Write the {plain} of the two numbers",
            [
                f"$W the {word} of <the two numbers|the two|both numbers>",
                f"$W the {word} number",
                f"Which <of the two numbers|number> is {word}?",
                f"Which of the two numbers is {sign} than the other?",
                f"$F the {word} number <in the pair|of the two|in the input>",
                f"{word} number",
                f"the {plain} of the two",
                f"$MANY two numbers. $W the {word} <one|number>",
                f"<For|In> each input, $w the {word} of the two numbers",
                f"For each pair of numbers, $s which is {word}",
                f"Compare $NUMS and $w the {word} one",
                f"Compare the numbers. $W the {word}",
                f"Choose the {word} of the two numbers",
            ],
            [
                f"Tell me which of these two numbers is the {plain} one",
                f"Keep the number that is {plain}",
                f"<Could|Can> you pick the {plain} number?",
            ],
        )
    of_number(
        "next_number",
        _number_task(lambda n: str(n + 1), _up_to_thousand),
        "Write the next number",
        noun_patterns("number right after", "number", "", own="successor", inside=False),
        [
            "Add one to $NUM",
            "$W the <next|following> number",
            "next number",
            "What is the next number?",
            "Increase $NUM by one",
            "Which number comes after $NUM?",
            "$W the number plus one",
            "Count one further",
        ],
    )
    of_number(
        "previous_number",
        _number_task(lambda n: str(n - 1), lambda rng: _up_to_thousand(rng) + 1),
        "Write the previous number",
        noun_patterns("number right before", "number", "", own="predecessor", inside=False),
        [
            "Subtract one from $NUM",
            "$W the <previous|preceding> number",
            "previous number",
            "What is the previous number?",
            "Decrease $NUM by one",
            "Which number comes before $NUM?",
            "$W the number minus one",
            "Count one back",
        ],
    )
    of_number(
        "double",
        _number_task(lambda n: str(2 * n), _below(1000)),
        "Double the number",
        verb_patterns(["Double the number", "Multiply the number by two"], "number"),
        [
            "$W two times $NUM",
            "$W twice the number",
            "What is twice the number?",
            "number times two",
            "doubled",
            "Add $NUM to itself",
        ],
    )
    of_number(
        "number_to_words",
        _number_task(words.number_words, below_ten_thousand),
        "Write the number in words",
        verb_patterns(
            [
                "Write the number <in words|in English words|with words|as words>",
                "Spell out the number",
                "Convert the number to words",
                "Express the number in words <instead of digits|>",
            ],
            "number",
        ),
        [
            "$W $NUM in <words|English words|plain English words>",
            "$W $NUM in words without using <digits|any digits>",
            "For each input, $w the number in English without <using |>digits",
            "$S how the number is <pronounced|read|said> in English",
            "How is $NUM <pronounced|written|read> in <English|words>?",
            "<Output|Write> the pronunciation of $NUM",
            "number in words",
            "in words",
            "You will be given a number and you need to $w it with words",
            "Translate $NUM into words",
            "Translate the digits into <English |>words",
        ],
        weight=2.5,
    )
    of_number(
        "words_to_number",
        _number_task(str, below_ten_thousand, words.number_words),
        "Write the number in digits",
        verb_patterns(
            [
                "Write the number <in digits|with digits|as digits|using digits>",
                "Convert the <words|number words> to digits",
                "Turn the words into a number",
            ],
            "number in words",
        ),
        [
            "$W $NUM in <digits|figures>",
            "Translate the <words|number words> into digits",
            "Which number do the words name?",
            "number in digits",
            "in figures",
            "in digits",
        ],
        weight=1.5,
    )
    of_number(
        "even_or_odd",
        _number_task(lambda n: "odd" if n % 2 else "even", _up_to_thousand),
        "Say whether the number is even or odd",
        verb_patterns(
            ["<Say|Tell|Decide> whether the number is <even or odd|odd or even>"], "number"
        ),
        [
            "Is $NUM even or odd?",
            "$W even or odd",
            "even or odd",
            "Determine <if|whether> $NUM is even or odd",
            "$S whether $NUM is even or odd",
            'Write "even" if $NUM is even and "odd" if it is odd',
            "Classify $NUM as even or odd",
            "Odd or even?",
        ],
    )
    found += number_lists.tasks()  # here: the order of the catalogue decides what is drawn
    of_number(
        "last_digit",
        _number_task(lambda n: str(n % 10), _from_ten),
        "Write the last digit of the number",
        noun_patterns("<last|final> digit", "number", "of"),
        ["Which digit does the number end with?", "$W the ones digit of $NUM", "ones digit"],
    )
    of_number(
        "first_digit",
        _number_task(lambda n: str(n)[0], _from_ten),
        "Write the first digit of the number",
        noun_patterns("<first|leading> digit", "number", "of"),
        ["Which digit does the number start with?", "Keep only the first digit"],
    )
    of_number(
        "above_fifty",
        _number_task(lambda n: "yes" if n > 50 else "no", _below(101)),
        "Is the number greater than 50?",
        verb_patterns(
            [
                "<Say|Tell> whether the number is <greater|larger|bigger> than 50",
                'Write "yes" if the number is greater than 50 and "no" otherwise',
            ],
            "number",
        ),
        [
            "Is $NUM <larger|bigger|more|greater> than 50?",
            "greater than 50?",
            "above 50: yes or no",
            "Answer yes or no: is $NUM above 50?",
            "Check if $NUM is <above|over> 50, yes or no",
        ],
    )
    of_number(
        "half",
        _number_task(lambda n: str(n // 2), lambda rng: 2 * rng.randrange(1, 500)),
        "Write half of the number",
        verb_patterns(["Divide the number by two", "Halve the number"], "number"),
        ["$W half of $NUM", "What is half of $NUM?", "half", "$W $NUM divided by two"],
        held_out=True,
    )
    of_pair(
        "larger_in_words",
        _pair_task(lambda a, b: words.number_words(max(a, b)), distinct=True),
        "Write the larger of the two numbers in words",
        [
            f"$W the {_LARGER} of the two numbers in words",
            f"$W the {_LARGER} number in <words|English words>",
            f"{_LARGER} number in words",
            f"$MANY two numbers. $W the {_LARGER} one in words",
            f"For each pair of numbers, $w the {_LARGER} one in words",
            f"What is the {_LARGER} number in words?",
            "Compare the two numbers and spell out the larger one",
            f"$F the {_LARGER} of the two numbers and write it in words",
            "The output is the larger number, spelled out in words",
        ],
        ["Tell me in words which number is larger", "Spell the larger number of the two"],
        held_out=True,
    )
    return found
