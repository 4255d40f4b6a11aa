"""Tasks about three or more numbers."""

from __future__ import annotations

import random
from collections.abc import Callable

from promptinfill.microtasks.core import Item, MicroTask, split_by
from promptinfill.microtasks.define import define


def _list_task(function: Callable[[list[int]], str]) -> Callable[[random.Random, str], Item]:
    def draw(rng: random.Random) -> tuple[Item, str | None]:
        top = 1000 if rng.random() < 0.2 else 100
        values = rng.sample(range(top), rng.randint(3, 6))
        separator = " " if rng.random() < 0.2 else ", "
        shown = separator.join(map(str, values))
        out = function(values)
        return Item(shown, out.replace(", ", separator)), " ".join(map(str, values))

    return split_by(draw)


def _sum_three(rng: random.Random) -> tuple[Item, str | None]:
    values = [rng.randrange(30) for _ in range(3)]
    separator = ", " if rng.random() < 0.2 else " "
    shown = " ".join(map(str, values))
    return Item(separator.join(map(str, values)), str(sum(values))), shown


def _join(values: list[int]) -> str:
    return ", ".join(map(str, values))


def tasks() -> list[MicroTask]:
    found: list[MicroTask] = []

    def of_list(
        name: str,
        make: Callable[[random.Random, str], Item],
        manual: str,
        train: list[str],
        other: list[str],
    ) -> None:
        found.append(define(name, "numbers", make, manual, (train, other)))

    of_list(
        "sum_three",
        split_by(_sum_three),
        "Add the three numbers",
        [
            "Add <the|all|all the> three numbers",
            "$W the sum of <the|all> three numbers",
            "What is the sum of the three numbers?",
            "$MANY three numbers. $W their sum",
            "$MANY three numbers. Add them up",
            "sum of three numbers",
            "Calculate the total of the three numbers",
            "For each input, add the three numbers and $w the <total|result>",
            "<Add up|Sum up> the three numbers of the input",
            "Take the three numbers and $w their total",
            "first plus second plus third",
        ],
        ["How much are the three numbers together?", "I need the total of the three numbers"],
    )
    for name, function, plain, how in (
        ("sort_ascending", lambda v: _join(sorted(v)), "ascending", "from smallest to largest"),
        (
            "sort_descending",
            lambda v: _join(sorted(v, reverse=True)),
            "descending",
            "from largest to smallest",
        ),
    ):
        of_list(
            name,
            _list_task(function),
            f"Sort the numbers in {plain} order",
            [
                f"<Sort|Arrange|Order|Put> the numbers in {plain} order",
                f"<Sort|Arrange|Order> the numbers {how}",
                f"Sort the list of numbers {how}",
                f"$W the numbers {how}",
                f"$W the numbers in {plain} order",
                f"{plain} order",
                how,
                f"numbers sorted {how}",
                f"$GIVEN a list of numbers. Sort them {how}",
                f"$GIVEN a list of numbers. $W them in {plain} order",
                f"<For|In> each input, <sort|order> the numbers {how}",
                f"What are the numbers in {plain} order?",
            ],
            [f"Line the numbers up {how}", f"<Could|Can> you order these numbers {how}?"],
        )
    for name, pick_one, sup in (
        ("largest_number", max, "<largest|biggest|greatest|highest>"),
        ("smallest_number", min, "<smallest|lowest>"),
    ):
        plain = "largest" if name == "largest_number" else "smallest"
        of_list(
            name,
            _list_task(lambda v, p=pick_one: str(p(v))),  # type: ignore[misc]
            f"Write the {plain} number of the list",
            [
                f"$W the {sup} number",
                f"$W the {sup} number <in|of> <the list|the input|the given list>",
                f"$F the {sup} number <in|of> the list",
                f"What is the {sup} number<| in the list>?",
                f"Which number <in|of> the list is the {sup}?",
                f"{sup} number",
                f"{'maximum' if plain == 'largest' else 'minimum'} of the list",
                f"$GIVEN a list of numbers. $W the {sup} one",
                f"<For|In> each input, $w the {sup} number",
                f"Compare all the numbers and $w the {sup} one",
                f"Given several numbers, choose the {sup}",
            ],
            [
                f"Tell me the {plain} of these numbers",
                f"Keep only the {plain} number",
                f"<Could|Can> you find the {plain} number?",
            ],
        )
    of_list(
        "count_numbers",
        _list_task(lambda v: str(len(v))),
        "Count the numbers in the list",
        [
            "Count <the|all the> numbers <in the list|of the list|in the input|>",
            "How many numbers are <there|in the list|in the input>?",
            "How many numbers does the list have?",
            "$S how many numbers there are",
            "$W the count of numbers <in the list|>",
            "count of numbers",
            "how many numbers",
            "$GIVEN a list of numbers. Count them",
            "$MANY some numbers. $S how many there are",
            "For each input, count the numbers",
            "For each list, $s how many numbers it holds",
        ],
        ["Tell me how many numbers you see", "<Could|Can> you count these numbers?"],
    )
    return found
