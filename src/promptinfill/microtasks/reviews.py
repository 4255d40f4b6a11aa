"""Short reviews of a known opinion, in the manner of film reviews."""

from __future__ import annotations

import random

from promptinfill.microtasks import words
from promptinfill.microtasks.core import Item
from promptinfill.microtasks.noun_phrases import person_name
from promptinfill.microtasks.phrasing import upper_first

_PARTS = words.listed("story plot acting cast script ending dialogue music camera soundtrack")
_COUNTED_PARTS = words.listed("story plot cast script ending hero villain scene")
_ADVERBS = words.listed("very really truly often always surprisingly utterly quite rather simply")


def review(rng: random.Random, positive: bool) -> str:
    """A short review of that opinion, in the manner of film reviews."""
    pick = rng.choice
    side, other = ("positive", "negative") if positive else ("negative", "positive")
    good, bad = words.lines(side), words.lines(other)
    a, b, c = rng.sample(good, 3)
    subject = pick(words.lines("review_subjects"))
    article = words.with_article
    phrase = pick(words.lines(f"{side}_phrases"))
    noun_phrase = phrase.startswith(("a ", "one ", "well ", "worth", "full", "hard", "better"))
    text = pick(
        (
            f"{article(a)} and {b} {subject}",
            f"{article(a)}, {b} and {c} {subject}",
            f"{article(a)}, {b} {subject} .",
            f"the {subject} is {a}",
            f"the {subject} is {pick(_ADVERBS)} {a}",
            f"the {subject} is {a} and the {pick(_PARTS)} is {b}",
            f"{pick(_ADVERBS)} {a}",
            f"{a} and {b}",
            f"{a}, {b}, {c}",
            f"it is {a} and {b}",
            f"this is {article(a)} {subject}",
            f"{article(a)} {subject} that is {pick(_ADVERBS)} {b}",
            f"{article(a)} {subject} with {article(b)} {pick(_COUNTED_PARTS)}",
            f"despite {article(pick(bad))} {pick(_COUNTED_PARTS)}, {article(a)} {subject}",
            f"the {pick(_PARTS)} is {pick(bad)}, but the {subject} is {a} and {b}",
            f"{person_name(rng)}'s {subject} is {a}",
            f"{person_name(rng)} gives {article(a)} performance",
            f"this {subject} is {phrase}" if noun_phrase else phrase,
            phrase,
            f"{a}: {phrase}",
            f"i found the {subject} {a}",
            f"not {article(pick(bad))} {subject}",
        )
    )
    if rng.random() < 0.6:
        text = upper_first(text)
    if rng.random() < 0.7 and not text.endswith("."):
        text += "."
    return text


def draw_sentiment(rng: random.Random) -> tuple[Item, str | None]:
    positive = rng.random() < 0.5
    text = review(rng, positive)
    return Item(text, "positive" if positive else "negative"), text.lower().rstrip(". ")
