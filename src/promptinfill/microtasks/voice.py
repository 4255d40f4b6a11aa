"""Someone does something to someone: active, passive, and with the two swapped."""

from __future__ import annotations

import random

from promptinfill.microtasks import words
from promptinfill.microtasks.core import Item
from promptinfill.microtasks.noun_phrases import person
from promptinfill.microtasks.phrasing import upper_first

_PERSON_ADJECTIVES = ("young", "old", "tall", "famous", "kind", "clever", "tired", "angry", "new")


def people_pair(rng: random.Random) -> tuple[str, str, bool, str]:
    """(subject, object, object is plural, verb); noun phrases in lower case but for names."""
    while True:
        (a, a_many), (b, b_many) = person(rng), person(rng)
        if a != b and a.rstrip("s") != b.rstrip("s"):
            break
    verb = rng.choice(words.verbs_people())
    roll = rng.random()
    phrases = []
    for noun, many in ((a, a_many), (b, b_many)):
        if roll < 0.86:
            phrases.append(f"the {noun}")
        elif roll < 0.93:
            phrases.append(f"some {noun}" if many else words.with_article(noun))
        else:
            phrases.append(f"the {rng.choice(_PERSON_ADJECTIVES)} {noun}")
    if rng.random() < 0.05:
        side = rng.randrange(2)
        phrases[side] = rng.choice(words.lines("first_names"))
        b_many = b_many and side != 1
    return phrases[0], phrases[1], b_many, verb


def _voices(rng: random.Random) -> tuple[str, str]:
    subject, target, many, verb = people_pair(rng)
    active = f"{upper_first(subject)} {words.past(verb)} {target}."
    be = "were" if many else "was"
    passive = f"{upper_first(target)} {be} {words.participle(verb)} by {subject}."
    return active, passive


def draw_passive(rng: random.Random) -> tuple[Item, str | None]:
    active, passive = _voices(rng)
    return Item(active, passive), active


def draw_active(rng: random.Random) -> tuple[Item, str | None]:
    active, passive = _voices(rng)
    return Item(passive, active), active


def draw_swapped(rng: random.Random) -> tuple[Item, str | None]:
    subject, target, _, verb = people_pair(rng)
    shown = f"{upper_first(subject)} {words.past(verb)} {target}."
    return Item(shown, f"{upper_first(target)} {words.past(verb)} {subject}."), shown
