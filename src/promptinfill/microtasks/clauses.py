"""Clauses whose parts are known, so that every change of them (negation, question, tense) is exact.

All shapes are ours.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from promptinfill.microtasks import words
from promptinfill.microtasks.noun_phrases import (
    job,
    landmark,
    made_up,
    noun_phrase,
    organisation,
    person,
    person_name,
    place,
    year,
)
from promptinfill.microtasks.phrasing import upper_first


@dataclass(frozen=True)
class Clause:
    """subject + verb group + rest.

    tense: "present" or "past" of `verb` (base form; "be" included), or a modal or a form of "have"
    as it is written, before `verb` (then the exact word that follows it).
    """

    subject: str
    verb: str
    rest: str
    tense: str
    plural: bool = False
    proper: bool = False  # the subject keeps its capital inside a sentence

    def _be(self) -> str:
        if self.tense == "past":
            return "were" if self.plural else "was"
        return "are" if self.plural else "is"

    def _join(self, *parts: str) -> str:
        return upper_first(" ".join(p for p in (*parts, self.rest) if p)) + "."

    def statement(self) -> str:
        return self._join(self.subject, *self._group())

    def _group(self) -> tuple[str, ...]:
        if self.tense not in ("present", "past"):
            return self.tense, self.verb
        if self.verb == "be":
            return (self._be(),)
        if self.tense == "past":
            return (words.past(self.verb),)
        return (self.verb if self.plural else words.third(self.verb),)

    def negation(self) -> str:
        if self.tense == "can":
            return self._join(self.subject, "cannot", self.verb)
        if self.tense not in ("present", "past"):
            return self._join(self.subject, self.tense, "not", self.verb)
        if self.verb == "be":
            return self._join(self.subject, self._be(), "not")
        return self._join(self.subject, self._do(), "not", self.verb)

    def _do(self) -> str:
        if self.tense == "past":
            return "did"
        return "do" if self.plural else "does"

    def _low_subject(self) -> str:
        return self.subject if self.proper else self.subject[:1].lower() + self.subject[1:]

    def question(self) -> str:
        if self.tense not in ("present", "past"):
            text = self._join(self.tense, self._low_subject(), self.verb)
        elif self.verb == "be":
            text = self._join(self._be(), self._low_subject())
        else:
            text = self._join(self._do(), self._low_subject(), self.verb)
        return text[:-1] + "?"

    def inner(self) -> str:
        """The clause inside a longer sentence: no capital of its own and no full stop."""
        return " ".join(p for p in (self._low_subject(), *self._group(), self.rest) if p)

    def future(self) -> str:
        return self._join(self.subject, "will", self.verb)


_DEEDS = words.listed(
    "open close buy sell find lose build break paint repair carry read draw hide need make steal "
    "take bring choose drop clean cover study use see forget throw catch win"
)
_SIMPLE_DEEDS = words.listed("open close buy sell find paint repair carry read hide make clean")
_PLACE_NOUNS = words.listed(
    "garden kitchen park library museum house school forest city village river"
)
_FACT_SUBJECTS = ("metal", "wood", "water", "friction", "music", "fire", "reading", "swimming")
_TRANSITIVE = words.listed(
    "produce require contain include cause need affect change attract protect cover support create"
    " show describe explain carry follow replace reach use improve reduce prevent provide"
)
_CAN_BE = words.listed(
    "recycled seen used found repaired painted melted polished sold moved opened"
)
_INTRANSITIVE = words.listed(
    "sleep work sing dance laugh swim travel run walk cook smile play talk shout read wait"
)


# Each shape returns a Clause. Persons and places first: they are what encyclopaedias speak about.


def _person_past(rng: random.Random) -> Clause:
    pick = rng.choice
    in_year = f" in {year(rng)}" if rng.random() < 0.3 else ""
    verb, rest = pick(
        (
            ("die", f"in {place(rng)}{in_year}"),
            ("die", f"in {place(rng)}"),
            ("live", f"in {place(rng)}"),
            ("move", f"to {place(rng)}{in_year}"),
            ("work", f"in {place(rng)}{in_year}"),
            ("work", f"for {organisation(rng)}"),
            ("study", f"{pick(words.lines('fields'))} in {place(rng)}"),
            ("play", f"the {pick(words.lines('instruments'))}"),
            ("win", f"the {pick(words.nouns())}{in_year}"),
            ("write", f"a book about {pick(words.lines('fields'))}"),
            ("teach", f"{pick(words.lines('fields'))} at {organisation(rng)}"),
            ("build", f"{noun_phrase(rng, False)}{in_year}"),
            ("visit", f"{place(rng)}{in_year}"),
            ("become", f"{job(rng)}{in_year}"),
            ("lead", f"{noun_phrase(rng, False)}"),
            ("find", f"{noun_phrase(rng, rng.random() < 0.4)}"),
            ("lose", f"{noun_phrase(rng, False)}{in_year}"),
            ("marry", f"{person_name(rng)}{in_year}"),
        )
    )
    return Clause(person_name(rng), verb, rest, "past", proper=True)


def _person_present(rng: random.Random) -> Clause:
    pick = rng.choice
    verb, rest = pick(
        (
            ("work", f"in the field of {pick(words.lines('fields'))}"),
            ("work", f"for {organisation(rng)}"),
            ("play", f"the {pick(words.lines('instruments'))}"),
            ("play", pick(("jazz music", "football", "tennis", "chess", "golf"))),
            ("speak", pick(words.lines("languages"))),
            ("live", f"in {place(rng)}"),
            ("teach", pick(words.lines("fields"))),
            ("like", pick(words.lines("foods"))),
            ("own", f"{noun_phrase(rng, False)}"),
            ("belong", f"to {noun_phrase(rng, False)}"),
            ("write", f"in {pick(words.lines('languages'))}"),
        )
    )
    return Clause(person_name(rng), verb, rest, "present", proper=True)


def _person_be(rng: random.Random) -> Clause:
    tense = "past" if rng.random() < 0.65 else "present"
    pick = rng.choice
    country, _ = pick(words.capitals())
    rest = pick(
        (
            f"born in {place(rng)}",
            f"born in {place(rng)} in {year(rng)}",
            job(rng),
            job(rng),
            f"{job(rng)} from {country}",
            f"from {place(rng)}",
            f"{job(rng)} by profession",
            f"employed by {organisation(rng)}",
            f"a member of {noun_phrase(rng, False)}",
            f"the {pick(words.people())} of {place(rng)}",
            f"married to {person_name(rng)}",
            f"in favour of {noun_phrase(rng, False)}",
            pick(words.lines("adjectives")),
        )
    )
    if rest.startswith("born"):
        tense = "past"
    return Clause(person_name(rng), "be", rest, tense, proper=True)


def _two_people_be(rng: random.Random) -> Clause:
    subject = f"{person_name(rng)} and {person_name(rng)}"
    rest = rng.choice(
        (
            words.plural(rng.choice(words.people())),
            f"born in {place(rng)}",
            f"members of {noun_phrase(rng, False)}",
            rng.choice(words.lines("adjectives")),
        )
    )
    return Clause(subject, "be", rest, "past", plural=True, proper=True)


def _thing_be(rng: random.Random) -> Clause:
    tense = "present" if rng.random() < 0.75 else "past"
    pick = rng.choice
    subject = pick((landmark, organisation, place))(rng)
    proper = not subject.startswith("the ")
    rest = pick(
        (
            f"located in {place(rng)}",
            f"located in {place(rng)}",
            f"situated off the coast of {place(rng)}",
            f"in {place(rng)}",
            f"owned by {organisation(rng)}",
            f"part of {place(rng)}",
            f"named after {person_name(rng)}",
            f"founded in {place(rng)}",
            f"founded in {year(rng)}",
            f"made of {pick(words.lines('materials'))}",
            f"written in {pick(words.lines('languages'))}",
            f"built in {year(rng)}",
            f"{words.with_article(pick(words.lines('adjectives')))} {pick(words.nouns())}",
            f"known for {noun_phrase(rng, True)}",
        )
    )
    if rest.startswith(("built", "founded")):
        tense = "past"
    return Clause(subject, "be", rest, tense, proper=proper)


def _of_be(rng: random.Random) -> Clause:
    pick = rng.choice
    tense = "present" if rng.random() < 0.6 else "past"
    thing = pick((made_up, place, landmark, person_name))(rng)
    subject, rest = pick(
        (
            ("the capital of " + thing, place(rng)),
            ("the original language of " + thing, pick(words.lines("languages"))),
            ("the headquarters of " + thing, f"in {place(rng)}"),
            (f"the {pick(words.people())} of {thing}", person_name(rng)),
            (f"{thing}'s largest {pick(words.nouns())}", place(rng)),
            (f"{thing}'s profession", pick(words.people())),
            (f"the official language of {thing}", pick(words.lines("languages"))),
            (f"the birthplace of {thing}", place(rng)),
            (f"the {pick(words.nouns())} of {thing}", pick(words.lines("adjectives"))),
        )
    )
    many = subject.startswith("the headquarters")
    return Clause(subject, "be", rest, tense, plural=many, proper=not subject.startswith("the "))


def _plain_be(rng: random.Random) -> Clause:
    plural = rng.random() < 0.4
    pick = rng.choice
    if plural:
        noun = words.plural(pick(words.nouns()))
        subject = pick((f"some {noun}", noun, f"the {noun}", f"many {noun}", f"these {noun}"))
    else:
        subject = pick((noun_phrase(rng, False), f"this {pick(words.nouns())}", "it", "she", "he"))
    rest = pick(
        (
            pick(words.lines("adjectives")),
            pick(words.lines("adjectives")),
            f"very {pick(words.lines('adjectives'))}",
            f"in the {pick(_PLACE_NOUNS)}",
            f"{pick(words.lines('adjectives'))} and {pick(words.lines('adjectives'))}",
            f"made of {pick(words.lines('materials'))}",
        )
    )
    if subject in ("she", "he") and rest.startswith("made"):
        rest = job(rng)
    return Clause(subject, "be", rest, pick(("present", "past")), plural=plural)


def _fact_present(rng: random.Random) -> Clause:
    plural = rng.random() < 0.45
    pick = rng.choice
    if plural:
        subject = words.plural(pick(words.nouns() + words.category("animal")))
        subject = f"some {subject}" if rng.random() < 0.3 else subject
        proper = False
    else:
        subject = pick((pick(_FACT_SUBJECTS), noun_phrase(rng, False), landmark(rng), made_up(rng)))
        proper = subject[:1].isupper()
    verb, rest = pick(
        (
            (pick(_TRANSITIVE), pick(words.lines("mass_nouns"))),
            (pick(_TRANSITIVE), noun_phrase(rng, rng.random() < 0.5)),
            (pick(_TRANSITIVE), words.plural(pick(words.nouns()))),
            ("refer", f"to {noun_phrase(rng, False)}"),
            ("belong", f"to {place(rng)}"),
            ("consist", f"of {pick(words.lines('materials'))}"),
            ("contain", f"{pick(words.lines('materials'))} and {pick(words.lines('materials'))}"),
            ("depend", f"on {noun_phrase(rng, False)}"),
            ("have", words.with_article(pick(words.nouns()))),
            ("differ", f"from {noun_phrase(rng, True)} regarding {pick(words.lines('fields'))}"),
        )
    )
    return Clause(subject, verb, rest, "present", plural=plural, proper=proper)


def _action_past(rng: random.Random) -> Clause:
    noun, plural = person(rng)
    pick = rng.choice
    verb = pick(_DEEDS)
    tail = pick(("", "", f" in {place(rng)}", f" in {year(rng)}", f" in the {pick(_PLACE_NOUNS)}"))
    return Clause(f"the {noun}", verb, noun_phrase(rng, rng.random() < 0.4) + tail, "past", plural)


_MODALS = ("can", "can", "could", "will", "would", "should", "may", "must", "might")


def _modal(rng: random.Random) -> Clause:
    pick = rng.choice
    modal = pick(_MODALS)
    roll = rng.random()
    if roll < 0.35:
        noun = words.plural(pick(words.nouns()))
        return Clause(noun, "be", pick(_CAN_BE), modal, plural=True)
    if roll < 0.5:
        return Clause(pick(words.lines("materials")), "be", pick(_CAN_BE), modal)
    if roll < 0.75:
        inner = _person_past(rng)
        return replace(inner, tense=modal)
    return replace(_action_past(rng), tense=modal)


def _perfect(rng: random.Random) -> Clause:
    inner = rng.choice((_person_past, _action_past))(rng)
    have = "had" if rng.random() < 0.3 else ("have" if inner.plural else "has")
    return replace(inner, tense=have, verb=words.participle(inner.verb))


_SHAPES: tuple[tuple[Callable[[random.Random], Clause], float], ...] = (
    (_person_past, 3.0),
    (_person_present, 1.6),
    (_person_be, 2.4),
    (_two_people_be, 0.5),
    (_thing_be, 2.6),
    (_of_be, 1.4),
    (_plain_be, 1.8),
    (_fact_present, 2.2),
    (_action_past, 1.2),
    (_modal, 1.6),
    (_perfect, 0.7),
)
_FUNCTIONS = [shape for shape, _ in _SHAPES]
_WEIGHTS = [weight for _, weight in _SHAPES]


def any_clause(rng: random.Random) -> Clause:
    return rng.choices(_FUNCTIONS, _WEIGHTS)[0](rng)


def short_clause(rng: random.Random) -> Clause:
    return rng.choice((_plain_be, _action_past, _person_present, _modal, _person_past))(rng)


def simple_clause(rng: random.Random, tense: str) -> Clause:
    """A clause about no particular time, that past, present and future all fit."""
    pick = rng.choice
    roll = rng.random()
    if roll < 0.3:
        subject, plural, proper = pick(words.lines("first_names")), False, True
    elif roll < 0.4:
        subject, plural = pick((("he", False), ("she", False), ("they", True)))
        proper = False
    else:
        noun, plural = person(rng)
        subject, proper = f"the {noun}", False
    where = pick(("", f"in {place(rng)}", f"in the {pick(_PLACE_NOUNS)}"))
    verb, rest = pick(
        (
            ("be", pick(words.lines("adjectives"))),
            ("be", f"in the {pick(_PLACE_NOUNS)}"),
            (pick(_INTRANSITIVE), where),
            (pick(_INTRANSITIVE), where),
            ("play", f"the {pick(words.lines('instruments'))}"),
            ("live", f"in {place(rng)}"),
            ("need", noun_phrase(rng, False)),
            (pick(_SIMPLE_DEEDS), noun_phrase(rng, rng.random() < 0.4)),
            (pick(words.verbs_people()), f"the {person(rng)[0]}"),
        )
    )
    return Clause(subject, verb, rest, tense, plural=plural, proper=proper)


def past_clause(rng: random.Random) -> Clause:
    return rng.choice((_action_past, _person_past))(rng)


def question_clause(rng: random.Random) -> Clause:
    return rng.choice((_plain_be, _thing_be, _person_be, _modal))(rng)


def subject_clause(rng: random.Random) -> Clause:
    return rng.choice((_action_past, _plain_be, _person_past, _thing_be))(rng)
