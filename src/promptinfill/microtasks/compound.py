"""Sentences of some variety, most of them put together from clauses."""

from __future__ import annotations

import random

from promptinfill.microtasks import words
from promptinfill.microtasks.clauses import any_clause, past_clause, short_clause
from promptinfill.microtasks.noun_phrases import person
from promptinfill.microtasks.phrasing import upper_first
from promptinfill.microtasks.voice import people_pair

_CONNECTORS = (", but ", " and ", " because ", " while ", ", so ", " when ", " although ", ", yet ")
_OPENERS = ("Yesterday", "Last week", "In the end", "After the war", "Last year", "That day")
_THINK = ("know", "think", "said", "believe", "say", "thought", "heard", "guess", "realised")


def any_sentence(rng: random.Random) -> str:
    """A sentence of some variety, for tasks that look at its words."""
    roll = rng.random()
    if roll < 0.3:
        return any_clause(rng).statement()
    if roll < 0.42:
        return short_clause(rng).negation()
    if roll < 0.55:
        one, two = short_clause(rng), short_clause(rng)
        return one.statement()[:-1] + rng.choice(_CONNECTORS) + two.inner() + "."
    if roll < 0.65:
        clause = past_clause(rng)
        return f"{rng.choice(_OPENERS)}, {clause.inner()}."
    if roll < 0.75:
        return short_clause(rng).question()
    if roll < 0.87:
        who = rng.choice(("I", "We", "They", "You"))
        that = rng.choice((" that ", " "))
        return f"{who} {rng.choice(_THINK)}{that}{short_clause(rng).inner()}."
    if roll < 0.93:
        verb = rng.choice(words.verbs_people())
        aux = rng.choice(("did", "will", "can", "should"))
        subject = rng.choice(("you", "they", f"the {person(rng)[0]}"))
        return f"{rng.choice(('Who', 'Whom', 'When', 'Why'))} {aux} {subject} {verb}" + rng.choice(
            ("?", f" the {person(rng)[0]}?")
        )
    subject, target, _, verb = people_pair(rng)
    return (
        f"{upper_first(subject)} who {words.past(rng.choice(words.verbs_people()))} {target} "
        f"{words.past(verb)} the {person(rng)[0]}."
    )
