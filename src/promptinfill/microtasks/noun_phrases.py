"""Who and what sentences are about: people, places, organisations, years, things.

Names, places and years make sentences read like an encyclopaedia.
"""

from __future__ import annotations

import random

from promptinfill.microtasks import words


def person(rng: random.Random) -> tuple[str, bool]:
    """(noun, plural?)."""
    noun = rng.choice(words.people())
    return (words.plural(noun), True) if rng.random() < 0.45 else (noun, False)


def person_name(rng: random.Random) -> str:
    pick = rng.choice
    first = pick(words.lines("first_names"))
    last = pick(words.lines("surnames"))
    if rng.random() < 0.25:
        last = made_up(rng)
    roll = rng.random()
    if roll < 0.15:
        return first
    if roll < 0.25:
        return last
    if roll < 0.37:
        return f"{first} {pick('ABCDEFGHJKLMPRSTW')}. {last}"
    if roll < 0.5:
        return f"{first} {pick(words.lines('first_names'))} {last}"
    if roll < 0.54:
        return f"{first} {pick(('de', 'von', 'van', 'di'))} {last}"
    return f"{first} {last}"


def made_up(rng: random.Random) -> str:
    return words.pseudo_word(rng).capitalize()


def place(rng: random.Random) -> str:
    roll = rng.random()
    if roll < 0.45:
        return rng.choice(words.lines("places"))
    country, city = rng.choice(words.capitals())
    if roll < 0.6:
        return city
    if roll < 0.78:
        return country
    if roll < 0.88:
        return f"{city}, {country}"
    return made_up(rng)


_ORG_KINDS = words.listed(
    "Company Records Bank Media Group Motors Institute Press Airlines Foods Club"
)
_PLACE_KINDS = words.listed(
    "Island Lake River Castle Park Bridge Glacier Hall Tower Museum Church Valley"
)


def organisation(rng: random.Random) -> str:
    roll = rng.random()
    if roll < 0.4:
        return made_up(rng)
    if roll < 0.7:
        return f"{rng.choice(words.lines('surnames'))} {rng.choice(_ORG_KINDS)}"
    return f"the University of {rng.choice(words.lines('places'))}"


def landmark(rng: random.Random) -> str:
    base = rng.choice((words.lines("surnames"), words.lines("places"))[rng.randrange(2)])
    return f"{made_up(rng) if rng.random() < 0.3 else base} {rng.choice(_PLACE_KINDS)}"


def year(rng: random.Random) -> str:
    return str(rng.randint(1500, 2020))


def noun_phrase(rng: random.Random, plural: bool) -> str:
    noun = rng.choice(words.nouns())
    noun = words.plural(noun) if plural else noun
    adjective = rng.choice(words.lines("adjectives"))
    return f"the {adjective} {noun}" if rng.random() < 0.3 else f"the {noun}"


def job(rng: random.Random) -> str:
    return words.with_article(rng.choice(words.people()))
