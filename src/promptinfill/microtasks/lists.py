"""Tasks about short lists: "apple, river, stone" (sometimes separated by spaces only)."""

from __future__ import annotations

import random
from collections.abc import Callable

from promptinfill.microtasks.core import Item, MicroTask, split_by
from promptinfill.microtasks.define import define
from promptinfill.microtasks.letters import any_word
from promptinfill.microtasks.phrasing import noun_patterns, verb_patterns

_ITEM = "<item|item|element|entry>"
_ITEMS = "<items|items|elements|entries>"


def _items(rng: random.Random, low: int = 3, high: int = 6) -> list[str]:
    chosen: list[str] = []
    size = rng.randint(low, high)
    while len(chosen) < size:
        word = any_word(rng)
        if word not in chosen:
            chosen.append(word)
    return chosen


def _numbers(rng: random.Random) -> list[str]:
    return [str(n) for n in rng.sample(range(100), rng.randint(3, 6))]


def _list_task(
    function: Callable[[list[str], str], str | None],
    *,
    low: int = 3,
    numbers: bool = False,
    spaces: bool = False,
    items: Callable[[random.Random], list[str]] | None = None,
) -> Callable[[random.Random, str], Item]:
    """function(items, separator) -> output, or None when the draw does not fit the task."""

    def draw(rng: random.Random) -> tuple[Item, str | None]:
        while True:
            separator = " " if spaces and rng.random() < 0.1 else ", "
            if items is not None:
                chosen = items(rng)
            elif numbers and rng.random() < 0.08:
                chosen = _numbers(rng)
            else:
                chosen = _items(rng, low)
            output = function(chosen, separator)
            if output:
                break
        # The whole list is the key: its words occur in both splits, the list in one only.
        return Item(separator.join(chosen), output), " ".join(chosen)

    return split_by(draw)


def _unique(values: list[str], key: Callable[[str], int], best: Callable[..., int]) -> str | None:
    target = best(key(v) for v in values)
    winners = [v for v in values if key(v) == target]
    return winners[0] if len(winners) == 1 else None


def _repeated(rng: random.Random) -> list[str]:
    chosen = _items(rng, 2, 4)
    for word in rng.sample(chosen, rng.randint(1, min(2, len(chosen)))):
        chosen.insert(rng.randint(0, len(chosen)), word)
    return chosen


def without_duplicates(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _starting_item(rng: random.Random, split: str) -> Item:
    return _STARTING(rng, split)


def _draw_starting(rng: random.Random) -> tuple[Item, str | None]:
    chosen = _items(rng, 3, 6)
    letter = rng.choice(chosen)[0]
    if rng.random() < 0.5 and len(chosen) < 6:
        twin = next((w for w in (any_word(rng) for _ in range(60)) if w[0] == letter), None)
        if twin and twin not in chosen:
            chosen.insert(rng.randint(0, len(chosen)), twin)
    text = f"{', '.join(chosen)} [{letter}]"
    return Item(text, ", ".join(w for w in chosen if w[0] == letter)), text


_STARTING = split_by(_draw_starting)


def tasks() -> list[MicroTask]:
    found: list[MicroTask] = []

    def position(name: str, ordinal: str, plain: str, index: int, extra: list[str]) -> None:
        found.append(
            define(
                name,
                "lists",
                _list_task(lambda v, s: v[index], numbers=True, spaces=True),
                f"Write the {plain} item of the list",
                noun_patterns(f"{ordinal} {_ITEM}", "list", "<of|in>"),
                [
                    *extra,
                    f"Keep only the {plain} item of the list",
                    f"$W the {plain} word <of|in> the <list|given list|list of words>",
                    f"Which is the {plain} of the words in the list?",
                ],
            )
        )

    def transform(
        name: str,
        function: Callable[[list[str], str], str | None],
        manual: str,
        vps: list[str],
        extra: list[str],
        **options: bool,
    ) -> None:
        make = _list_task(function, **options)  # type: ignore[arg-type]
        found.append(define(name, "lists", make, manual, verb_patterns(vps, "list"), extra))

    position(
        "first_item",
        "first",
        "first",
        0,
        ["Which item comes first in the list?", "$W the item at the start of $LIST"],
    )
    position(
        "last_item",
        "<last|final>",
        "last",
        -1,
        ["Which item comes last in the list?", "$W the item at the end of $LIST"],
    )
    position("second_item", "second", "second", 1, ["Which item comes second in the list?"])
    position("third_item", "third", "third", 2, ["Which item comes third in the list?"])
    transform(
        "reverse_list",
        lambda v, s: s.join(reversed(v)),
        "Reverse the list",
        [
            "Reverse the list",
            f"Write the {_ITEMS} <of the list|in the list> in reverse order",
            "Turn the list around",
            "Write the list backwards, from the last item to the first",
        ],
        ["$W $LIST in reverse order", "reverse order", "the list reversed", "list in reverse"],
        numbers=True,
        spaces=True,
    )
    transform(
        "sort_list",
        lambda v, s: s.join(sorted(v)),
        "Sort the list alphabetically",
        [
            "Sort the list <alphabetically|in alphabetical order>",
            f"Put the {_ITEMS} in alphabetical order",
            f"Arrange the {_ITEMS} of the list from a to z",
        ],
        ["alphabetical order", "$W $LIST in alphabetical order", "sorted from a to z"],
        spaces=True,
    )
    found.append(
        define(
            "count_items",
            "lists",
            _list_task(lambda v, s: str(len(v)), numbers=True, spaces=True, low=2),
            "Count the items in the list",
            noun_patterns(f"number of {_ITEMS}", "list", "in", inside=False),
            [
                f"<Count the|Count all the> {_ITEMS} <in|of> $LIST",
                f"How many {_ITEMS} <are in the list|does the list have|are there in $LIST>?",
                "$W the length of the list",
                "list length",
                "How long is the list?",
            ],
        )
    )
    for name, which, plain, cut in (
        ("remove_first_item", "first", "first", slice(1, None)),
        ("remove_last_item", "<last|final>", "last", slice(None, -1)),
    ):
        transform(
            name,
            lambda v, s, c=cut: s.join(v[c]),  # type: ignore[misc]
            f"Remove the {plain} item from the list",
            [
                f"<Remove|Delete|Drop> the {which} {_ITEM} <from|of> the list",
                f"Write the list without its {which} {_ITEM}",
            ],
            [
                f"$W all {_ITEMS} <but|except> the {plain}",
                f"$W all {_ITEMS} of $LIST <but|except> the {plain} one",
                f"{plain} item removed",
                f"What is left of $LIST without the {plain} {_ITEM}?",
            ],
            numbers=True,
            spaces=True,
        )
    for name, which, best, other in (
        ("longest_word", "longest", max, "most"),
        ("shortest_word", "shortest", min, "fewest"),
    ):
        found.append(
            define(
                name,
                "lists",
                _list_task(lambda v, s, b=best: _unique(v, len, b)),  # type: ignore[misc]
                f"Write the {which} word of the list",
                noun_patterns(f"{which} <word|word|item>", "list", "<of|in>"),
                [
                    f"Which word of the list is the {which}?",
                    f"$W the word with the {other} letters",
                    f"Which word has the {other} letters?",
                    f"Compare the words and $w the {which} one",
                ],
            )
        )
    transform(
        "join_and",
        lambda v, s: " and ".join(v),
        'Join the items with "and"',
        [
            f'<Join|Connect|Combine> the {_ITEMS} <of the list|> with "and"',
            f'Put "and" between the {_ITEMS} of the list',
            'Replace <the commas|every comma> with "and"',
        ],
        ['$W $LIST with "and" in place of commas', '"and" between the items', "joined by and"],
    )
    transform(
        "join_hyphens",
        lambda v, s: "-".join(v),
        "Join the items with hyphens",
        [
            f"<Join|Connect|Combine> the {_ITEMS} <of the list|> with hyphens",
            f"Put hyphens between the {_ITEMS} of the list",
            "Replace <the commas|every comma> with <hyphens|a hyphen>",
        ],
        ["$W $LIST with hyphens in place of commas", "hyphens between items", "hyphenated list"],
    )
    transform(
        "swap_ends",
        lambda v, s: s.join([v[-1], *v[1:-1], v[0]]),
        "Swap the first and the last item of the list",
        [
            f"<Swap|Exchange|Switch> the first and <the last|last> {_ITEM} of the list",
            f"Exchange the two outer {_ITEMS} of the list",
            f"Write the list with its first and last {_ITEMS} swapped",
        ],
        ["swap first and last", "$W $LIST with the first and last items exchanged"],
        numbers=True,
    )
    found.append(
        define(
            "remove_duplicates",
            "lists",
            _list_task(lambda v, s: s.join(without_duplicates(v)), items=_repeated),
            "Remove the duplicates from the list",
            verb_patterns(
                [
                    "<Remove|Delete|Drop> <duplicates|the duplicates|repeated items> from the list",
                    f"Write each {_ITEM} of the list only once",
                    "Write the list without repetitions",
                ],
                "list",
            ),
            ["no duplicates", "each item only once", "$W the different items of the list"],
        )
    )
    found.append(
        define(
            "items_with_letter",
            "lists",
            _starting_item,
            "Write the items that start with the letter in brackets",
            noun_patterns(
                f"{_ITEMS} that <start|begin> with the letter in <brackets|the brackets>",
                "list",
                "of",
                own="items that start with the letter in brackets",
                many=True,
            ),
            [
                f"Which {_ITEMS} of the list start with the letter in brackets?",
                f"List all {_ITEMS} of $LIST that <start|begin> with the bracketed letter",
                "items with the bracketed first letter",
                "items by bracketed letter",
            ],
        )
    )
    found.append(
        define(
            "first_and_last_item",
            "lists",
            _list_task(lambda v, s: s.join([v[0], v[-1]]), numbers=True),
            "Write the first and the last item of the list",
            noun_patterns(f"first and <last|the last> {_ITEM}", "list", "of"),
            ["Keep only the first and last items", "$W both ends of the list"],
            held_out=True,
        )
    )
    return found
