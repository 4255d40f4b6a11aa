"""Tasks about what things are: animals and their sizes, fruits, colours, capitals.

The facts (an ant is smaller than a dog) are shared between the splits; composed inputs are not.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from promptinfill.microtasks import words
from promptinfill.microtasks.core import Item, MicroTask, shared, split_by
from promptinfill.microtasks.define import define

_CONFUSABLE = {"animal": (), "fruit": ("food", "colour"), "colour": ("fruit",)}


def _size_task(largest: bool) -> Callable[[random.Random, str], Item]:
    sizes = words.animal_sizes()
    names = tuple(sizes)

    def draw(rng: random.Random) -> tuple[Item, str | None]:
        while True:
            a, b = rng.sample(names, 2)
            if sizes[a] != sizes[b]:
                break
        answer = a if (sizes[a] > sizes[b]) == largest else b
        shown = {a: a, b: b}
        for name in (a, b):
            if rng.random() < 0.12:
                shown[name] = words.plural(name)
        return Item(f"{shown[a]}, {shown[b]}", shown[answer]), f"{a}, {b}"

    return split_by(draw)


def _mixed(rng: random.Random, kind: str, low: int, high: int, total: tuple[int, int]) -> list[str]:
    """A shuffled list with low to high members of `kind` among words of other categories."""
    others = [
        name
        for name in words.CATEGORY_FILES
        if name not in {kind, "country", "body part"} and name not in _CONFUSABLE.get(kind, ())
    ]
    members = set(words.category(kind))
    chosen = rng.sample(words.category(kind), rng.randint(low, high))
    size = max(len(chosen) + 1, rng.randint(*total))
    while len(chosen) < size:
        word = rng.choice(words.category(rng.choice(others)))
        if word not in chosen and word not in members:
            chosen.append(word)
    rng.shuffle(chosen)
    return chosen


def _selection_task(kind: str, low: int = 1, high: int = 5) -> Callable[[random.Random, str], Item]:
    members = frozenset(words.category(kind))

    def draw(rng: random.Random) -> tuple[Item, str | None]:
        chosen = _mixed(rng, kind, low, high, (3, 7) if high > 1 else (3, 5))
        text = ", ".join(chosen)
        return Item(text, ", ".join(w for w in chosen if w in members)), text

    return split_by(draw)


_ODD_KINDS = ("animal", "fruit", "vehicle", "clothing", "colour", "instrument", "furniture", "tool")


def _draw_odd(rng: random.Random) -> tuple[Item, str | None]:
    of = words.category_of()
    kind, other = rng.sample(_ODD_KINDS, 2)
    pool = [w for w in words.category(kind) if of.get(w) == kind]
    odd = rng.choice([w for w in words.category(other) if of.get(w) == other])
    chosen = [*rng.sample(pool, rng.randint(3, 4)), odd]
    rng.shuffle(chosen)
    text = ", ".join(chosen)
    return Item(text, odd), text


def _draw_category(rng: random.Random) -> Item:
    of = words.category_of()
    kind = rng.choice(tuple(words.CATEGORY_FILES))
    while True:
        word = rng.choice(words.category(kind))
        if of.get(word) == kind:
            return Item(word, kind)


def _draw_is_animal(rng: random.Random) -> Item:
    if rng.random() < 0.5:
        return Item(rng.choice(words.category("animal")), "yes")
    kind = rng.choice([k for k in words.CATEGORY_FILES if k != "animal"])
    while True:
        word = rng.choice(words.category(kind))
        if word not in words.animal_sizes():
            return Item(word, "no")


def _draw_capital(rng: random.Random) -> Item:
    return Item(*rng.choice(words.capitals()))


def _draw_country(rng: random.Random) -> Item:
    country, city = rng.choice(words.capitals())
    return Item(city, country)


def tasks() -> list[MicroTask]:
    found: list[MicroTask] = []

    def add(
        name: str,
        make: Callable[[random.Random, str], Item],
        manual: str,
        train: list[str],
        other: list[str],
        *,
        closed: bool = False,
        weight: float = 1.0,
    ) -> None:
        found.append(
            define(name, "categories", make, manual, (train, other), closed=closed, weight=weight)
        )

    for name, adjective, plain in (
        ("larger_animal", "<bigger|larger>", "bigger"),
        ("smaller_animal", "<smaller|tinier>", "smaller"),
    ):
        add(
            name,
            _size_task(plain == "bigger"),
            f"Write the {plain} of the two animals",
            [
                f"$W the {adjective} animal <of the two|of the pair|>",
                f"$S which of the <two |>animals is {adjective}",
                f"$S which animal <in the input|of the pair> is {adjective}",
                f"$F the {adjective} of the <two animals|following animals|given animals>",
                f"Which <of the two animals|animal|of the animals in the input> is {adjective}?",
                f"$MANY two animals. $W the {adjective} one",
                f"$GIVEN a pair of animals. $S which is {adjective}",
                f"<For|In> each input, $s which of the two animals is {adjective}",
                f"For each pair of animals, $w the {adjective} one",
                f"{adjective} animal",
                f"Compare the <sizes of the |>animals and $w the {adjective} one",
                f"Choose the animal that is {adjective} than the other",
                f"Write the name of the animal with the {plain} body",
                f"You will be given two animals and you need to $w the {adjective} one",
            ],
            [
                f"Tell me which of these animals is the {plain} one",
                f"Keep the animal that is {plain}",
                f"<Could|Can> you pick the {plain} animal?",
            ],
            weight=2.0 if plain == "bigger" else 1.0,
        )
    for name, kind, many in (
        ("find_animals", "animal", "animals"),
        ("find_fruits", "fruit", "fruits"),
    ):
        add(
            name,
            _selection_task(kind),
            f"Write the {many} in the list",
            [
                f"$W <the|all the|only the> {many} <in|from> $LIST",
                f"$W all the {many}",
                f"$F <the|all the|all> {many} <in|from> $LIST",
                f"List the {many} <from|among> the given words",
                f"$S which of the <words|following words> are {many}",
                f"Which of the words <in the list |>are {many}?",
                f"$GIVEN a list of words. $W <the|only the> {many}",
                f"<For|In> each <input|list>, $w <the|all the> {many}",
                f"extract <the|all> {many}",
                f"only {many}",
                f"{many}",
                f"Remove everything that is not {'an' if kind[0] in 'aeiou' else 'a'} {kind}",
                f"Keep the words that <are|name> {many}",
                f"You will be given a list and you need to $w the {many} in it",
            ],
            [
                f"Tell me which of these things are {many}",
                f"<Could|Can> you pick the {many} out of this?",
                f"I want to see nothing but {many}",
            ],
            weight=2.0 if kind == "animal" else 1.0,
        )
    add(
        "find_colour",
        _selection_task("colour", 1, 1),
        "Write the colour in the list",
        [
            "$W the <colour|word for a colour> <in|from> $LIST",
            "$F the colour <in|from> the list",
            "Which <word|item> <of|in> the list is a colour?",
            "$GIVEN a list of words. $W the one that is a colour",
            "<For|In> each <input|list>, $w the colour",
            "the colour",
            "colour",
            "Which colour is <named|mentioned|hidden> in the list?",
            "Keep only the colour",
            "Choose the word that names a colour",
        ],
        ["Tell me the colour you find among these words", "<Could|Can> you find the colour?"],
    )
    add(
        "odd_one_out",
        split_by(_draw_odd),
        "Write the odd one out",
        [
            "$W the odd one out",
            "$F the odd one out <in the list|of the list|>",
            "Which word is the odd one out?",
            "Which word does not <belong|fit> <in the list|with the others|>?",
            "$W the word that does not <belong to|fit with> the others",
            "$GIVEN a list of words. $W the one that does not fit",
            "$W the word that is of a different kind",
            "<For|In> each list, $w the word that does not belong",
            "odd one out",
            "All words but one are of the same kind. $W the other one",
            "Pick the intruder from the list",
        ],
        ["Tell me which word is out of place", "One word is different in kind: which?"],
    )
    add(
        "category",
        shared(_draw_category),
        "Write the category of the word",
        [
            "$W the <category|category|class> of <the word|the given word|this thing>",
            "What kind of thing is it?",
            "What <kind of thing|sort of thing> is <the word|this>?",
            "Which category does $WORD belong to?",
            "$GIVEN a word. $W the category it belongs to",
            "For each <input|word>, $w its <category|general category>",
            "category",
            "the category of the word",
            "Classify $WORD",
            "Classify the word: animal, fruit, vehicle, colour or another category",
            "$S whether the word is an animal, a fruit, a vehicle, a tool or something else",
        ],
        ["Tell me what sort of thing the word names", "Under which heading does the word fall?"],
        closed=True,
    )
    add(
        "is_animal",
        shared(_draw_is_animal),
        "Is it an animal? Answer yes or no",
        [
            "Is <the word|this|the input> an animal?",
            "Is it an animal, yes or no?",
            'Write "yes" if the <word|input> is an animal and "no" otherwise',
            "animal or not?",
            "<Say|Decide|Determine> <whether|if> the <word|input> is an animal, yes or no",
            "Does the word name an animal?",
            "$GIVEN a word. Answer yes if it is an animal and no if it is not",
            "For each word, answer yes for an animal and no for anything else",
            "animal: yes or no",
            "Check whether the word names an animal. Answer yes or no",
        ],
        ["Would you call this an animal?", "Tell me yes if this is an animal, else no"],
        closed=True,
    )
    for name, draw, what, have in (
        ("capital_of_country", _draw_capital, "capital", "country"),
        ("country_of_capital", _draw_country, "country", "capital"),
    ):
        if what == "capital":
            extra = [
                "$W the capital <of|city of> the <country|given country|input country>",
                "What is the capital <of the country|city>?",
                "Which city is the capital of the country?",
                "$GIVEN a country. $W its capital",
                "For each country, $w its capital <city|>",
                "capital <city|>",
                "Name the capital of the country",
                "$F the capital that belongs to the country",
                "Give the city from which the country is governed",
                "You will be given a country and you need to $w its capital city",
            ]
            other = [
                "Tell me the capital of this country",
                "The country is given, name its capital",
            ]
        else:
            extra = [
                "$W the country <of|of> the <capital|given capital|city>",
                "Which country is the city the capital of?",
                "Of which country is this the capital?",
                "$GIVEN a capital. $W its country",
                "For each capital <city|>, $w the country <it belongs to|>",
                "country",
                "country of the capital",
                "Name the country whose capital is given",
                "$F the country that the capital belongs to",
                "You will be given a capital city and you need to $w its country",
            ]
            other = [
                "Tell me the country of this capital",
                "The capital is given, name its country",
            ]
        manual = f"Write the {what} of the {have}"
        add(name, shared(draw), manual, extra, other, closed=True)
    return found
