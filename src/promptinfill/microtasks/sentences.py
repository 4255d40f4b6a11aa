"""Tasks about one sentence.

Sentences come from clauses whose parts are known, so that every change (negation, question, past,
future) is exact. All shapes are ours; names, places and years make them read like an encyclopaedia.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from promptinfill.microtasks import words
from promptinfill.microtasks.core import Item, MicroTask, split_by
from promptinfill.microtasks.define import define
from promptinfill.microtasks.phrasing import expand_all, noun_patterns, verb_patterns


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# ---------------------------------------------------------------- passive and active


def _person(rng: random.Random) -> tuple[str, bool]:
    """(noun, plural?)."""
    noun = rng.choice(words.people())
    return (words.plural(noun), True) if rng.random() < 0.45 else (noun, False)


def _people_pair(rng: random.Random) -> tuple[str, str, bool, str]:
    """(subject, object, object is plural, verb); noun phrases in lower case but for names."""
    while True:
        (a, a_many), (b, b_many) = _person(rng), _person(rng)
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


_PERSON_ADJECTIVES = ("young", "old", "tall", "famous", "kind", "clever", "tired", "angry", "new")


def upper_first(text: str) -> str:
    return text[:1].upper() + text[1:]


def _voices(rng: random.Random) -> tuple[str, str]:
    subject, target, many, verb = _people_pair(rng)
    active = f"{upper_first(subject)} {words.past(verb)} {target}."
    be = "were" if many else "was"
    passive = f"{upper_first(target)} {be} {words.participle(verb)} by {subject}."
    return active, passive


def _draw_passive(rng: random.Random) -> tuple[Item, str | None]:
    active, passive = _voices(rng)
    return Item(active, passive), active


def _draw_active(rng: random.Random) -> tuple[Item, str | None]:
    active, passive = _voices(rng)
    return Item(passive, active), active


# ---------------------------------------------------------------- clauses


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


def _name(rng: random.Random) -> str:
    pick = rng.choice
    first = pick(words.lines("first_names"))
    last = pick(words.lines("surnames"))
    if rng.random() < 0.25:
        last = _made_up(rng)
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


def _made_up(rng: random.Random) -> str:
    return words.pseudo_word(rng).capitalize()


def _place(rng: random.Random) -> str:
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
    return _made_up(rng)


_ORG_KINDS = _words("Company Records Bank Media Group Motors Institute Press Airlines Foods Club")
_PLACE_KINDS = _words(
    "Island Lake River Castle Park Bridge Glacier Hall Tower Museum Church Valley"
)


def _organisation(rng: random.Random) -> str:
    roll = rng.random()
    if roll < 0.4:
        return _made_up(rng)
    if roll < 0.7:
        return f"{rng.choice(words.lines('surnames'))} {rng.choice(_ORG_KINDS)}"
    return f"the University of {rng.choice(words.lines('places'))}"


def _landmark(rng: random.Random) -> str:
    base = rng.choice((words.lines("surnames"), words.lines("places"))[rng.randrange(2)])
    return f"{_made_up(rng) if rng.random() < 0.3 else base} {rng.choice(_PLACE_KINDS)}"


def _year(rng: random.Random) -> str:
    return str(rng.randint(1500, 2020))


def _np(rng: random.Random, plural: bool) -> str:
    noun = rng.choice(words.nouns())
    noun = words.plural(noun) if plural else noun
    adjective = rng.choice(words.lines("adjectives"))
    return f"the {adjective} {noun}" if rng.random() < 0.3 else f"the {noun}"


_DEEDS = _words(
    "open close buy sell find lose build break paint repair carry read draw hide need make steal "
    "take bring choose drop clean cover study use see forget throw catch win"
)
_PLACE_NOUNS = _words("garden kitchen park library museum house school forest city village river")
_FACT_SUBJECTS = ("metal", "wood", "water", "friction", "music", "fire", "reading", "swimming")
_TRANSITIVE = _words(
    "produce require contain include cause need affect change attract protect cover support create"
    " show describe explain carry follow replace reach use improve reduce prevent provide"
)
_CAN_BE = _words("recycled seen used found repaired painted melted polished sold moved opened")
_INTRANSITIVE = _words(
    "sleep work sing dance laugh swim travel run walk cook smile play talk shout read wait"
)


def _jobs(rng: random.Random) -> str:
    return words.with_article(rng.choice(words.people()))


# Each shape returns a Clause. Persons and places first: they are what encyclopaedias speak about.


def _person_past(rng: random.Random) -> Clause:
    pick = rng.choice
    in_year = f" in {_year(rng)}" if rng.random() < 0.3 else ""
    verb, rest = pick(
        (
            ("die", f"in {_place(rng)}{in_year}"),
            ("die", f"in {_place(rng)}"),
            ("live", f"in {_place(rng)}"),
            ("move", f"to {_place(rng)}{in_year}"),
            ("work", f"in {_place(rng)}{in_year}"),
            ("work", f"for {_organisation(rng)}"),
            ("study", f"{pick(words.lines('fields'))} in {_place(rng)}"),
            ("play", f"the {pick(words.lines('instruments'))}"),
            ("win", f"the {pick(words.nouns())}{in_year}"),
            ("write", f"a book about {pick(words.lines('fields'))}"),
            ("teach", f"{pick(words.lines('fields'))} at {_organisation(rng)}"),
            ("build", f"{_np(rng, False)}{in_year}"),
            ("visit", f"{_place(rng)}{in_year}"),
            ("become", f"{_jobs(rng)}{in_year}"),
            ("lead", f"{_np(rng, False)}"),
            ("find", f"{_np(rng, rng.random() < 0.4)}"),
            ("lose", f"{_np(rng, False)}{in_year}"),
            ("marry", f"{_name(rng)}{in_year}"),
        )
    )
    return Clause(_name(rng), verb, rest, "past", proper=True)


def _person_present(rng: random.Random) -> Clause:
    pick = rng.choice
    verb, rest = pick(
        (
            ("work", f"in the field of {pick(words.lines('fields'))}"),
            ("work", f"for {_organisation(rng)}"),
            ("play", f"the {pick(words.lines('instruments'))}"),
            ("play", pick(("jazz music", "football", "tennis", "chess", "golf"))),
            ("speak", pick(words.lines("languages"))),
            ("live", f"in {_place(rng)}"),
            ("teach", pick(words.lines("fields"))),
            ("like", pick(words.lines("foods"))),
            ("own", f"{_np(rng, False)}"),
            ("belong", f"to {_np(rng, False)}"),
            ("write", f"in {pick(words.lines('languages'))}"),
        )
    )
    return Clause(_name(rng), verb, rest, "present", proper=True)


def _person_be(rng: random.Random) -> Clause:
    tense = "past" if rng.random() < 0.65 else "present"
    pick = rng.choice
    country, _ = pick(words.capitals())
    rest = pick(
        (
            f"born in {_place(rng)}",
            f"born in {_place(rng)} in {_year(rng)}",
            _jobs(rng),
            _jobs(rng),
            f"{_jobs(rng)} from {country}",
            f"from {_place(rng)}",
            f"{_jobs(rng)} by profession",
            f"employed by {_organisation(rng)}",
            f"a member of {_np(rng, False)}",
            f"the {pick(words.people())} of {_place(rng)}",
            f"married to {_name(rng)}",
            f"in favour of {_np(rng, False)}",
            pick(words.lines("adjectives")),
        )
    )
    if rest.startswith("born"):
        tense = "past"
    return Clause(_name(rng), "be", rest, tense, proper=True)


def _two_people_be(rng: random.Random) -> Clause:
    subject = f"{_name(rng)} and {_name(rng)}"
    rest = rng.choice(
        (
            words.plural(rng.choice(words.people())),
            f"born in {_place(rng)}",
            f"members of {_np(rng, False)}",
            rng.choice(words.lines("adjectives")),
        )
    )
    return Clause(subject, "be", rest, "past", plural=True, proper=True)


def _thing_be(rng: random.Random) -> Clause:
    tense = "present" if rng.random() < 0.75 else "past"
    pick = rng.choice
    subject = pick((_landmark, _organisation, _place))(rng)
    proper = not subject.startswith("the ")
    rest = pick(
        (
            f"located in {_place(rng)}",
            f"located in {_place(rng)}",
            f"situated off the coast of {_place(rng)}",
            f"in {_place(rng)}",
            f"owned by {_organisation(rng)}",
            f"part of {_place(rng)}",
            f"named after {_name(rng)}",
            f"founded in {_place(rng)}",
            f"founded in {_year(rng)}",
            f"made of {pick(words.lines('materials'))}",
            f"written in {pick(words.lines('languages'))}",
            f"built in {_year(rng)}",
            f"{words.with_article(pick(words.lines('adjectives')))} {pick(words.nouns())}",
            f"known for {_np(rng, True)}",
        )
    )
    if rest.startswith(("built", "founded")):
        tense = "past"
    return Clause(subject, "be", rest, tense, proper=proper)


def _of_be(rng: random.Random) -> Clause:
    pick = rng.choice
    tense = "present" if rng.random() < 0.6 else "past"
    thing = pick((_made_up, _place, _landmark, _name))(rng)
    subject, rest = pick(
        (
            ("the capital of " + thing, _place(rng)),
            ("the original language of " + thing, pick(words.lines("languages"))),
            ("the headquarters of " + thing, f"in {_place(rng)}"),
            (f"the {pick(words.people())} of {thing}", _name(rng)),
            (f"{thing}'s largest {pick(words.nouns())}", _place(rng)),
            (f"{thing}'s profession", pick(words.people())),
            (f"the official language of {thing}", pick(words.lines("languages"))),
            (f"the birthplace of {thing}", _place(rng)),
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
        subject = pick((_np(rng, False), f"this {pick(words.nouns())}", "it", "she", "he"))
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
        rest = _jobs(rng)
    return Clause(subject, "be", rest, pick(("present", "past")), plural=plural)


def _fact_present(rng: random.Random) -> Clause:
    plural = rng.random() < 0.45
    pick = rng.choice
    if plural:
        subject = words.plural(pick(words.nouns() + words.category("animal")))
        subject = f"some {subject}" if rng.random() < 0.3 else subject
        proper = False
    else:
        subject = pick((pick(_FACT_SUBJECTS), _np(rng, False), _landmark(rng), _made_up(rng)))
        proper = subject[:1].isupper()
    verb, rest = pick(
        (
            (pick(_TRANSITIVE), pick(words.lines("mass_nouns"))),
            (pick(_TRANSITIVE), _np(rng, rng.random() < 0.5)),
            (pick(_TRANSITIVE), words.plural(pick(words.nouns()))),
            ("refer", f"to {_np(rng, False)}"),
            ("belong", f"to {_place(rng)}"),
            ("consist", f"of {pick(words.lines('materials'))}"),
            ("contain", f"{pick(words.lines('materials'))} and {pick(words.lines('materials'))}"),
            ("depend", f"on {_np(rng, False)}"),
            ("have", words.with_article(pick(words.nouns()))),
            ("differ", f"from {_np(rng, True)} regarding {pick(words.lines('fields'))}"),
        )
    )
    return Clause(subject, verb, rest, "present", plural=plural, proper=proper)


def _action_past(rng: random.Random) -> Clause:
    noun, plural = _person(rng)
    pick = rng.choice
    verb = pick(_DEEDS)
    tail = pick(
        ("", "", f" in {_place(rng)}", f" in {_year(rng)}", f" in the {pick(_PLACE_NOUNS)}")
    )
    return Clause(f"the {noun}", verb, _np(rng, rng.random() < 0.4) + tail, "past", plural)


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
        noun, plural = _person(rng)
        subject, proper = f"the {noun}", False
    where = pick(("", f"in {_place(rng)}", f"in the {pick(_PLACE_NOUNS)}"))
    verb, rest = pick(
        (
            ("be", pick(words.lines("adjectives"))),
            ("be", f"in the {pick(_PLACE_NOUNS)}"),
            (pick(_INTRANSITIVE), where),
            (pick(_INTRANSITIVE), where),
            ("play", f"the {pick(words.lines('instruments'))}"),
            ("live", f"in {_place(rng)}"),
            ("need", _np(rng, False)),
            (
                pick(_words("open close buy sell find paint repair carry read hide make clean")),
                _np(rng, rng.random() < 0.4),
            ),
            (pick(words.verbs_people()), f"the {_person(rng)[0]}"),
        )
    )
    return Clause(subject, verb, rest, tense, plural=plural, proper=proper)


# ---------------------------------------------------------------- longer sentences

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
        clause = rng.choice((_action_past, _person_past))(rng)
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
        subject = rng.choice(("you", "they", f"the {_person(rng)[0]}"))
        return f"{rng.choice(('Who', 'Whom', 'When', 'Why'))} {aux} {subject} {verb}" + rng.choice(
            ("?", f" the {_person(rng)[0]}?")
        )
    subject, target, _, verb = _people_pair(rng)
    return (
        f"{upper_first(subject)} who {words.past(rng.choice(words.verbs_people()))} {target} "
        f"{words.past(verb)} the {_person(rng)[0]}."
    )


def tokens(sentence: str) -> list[str]:
    """The words of a sentence without the punctuation around them."""
    stripped = (word.strip(".,;:?!\"'") for word in sentence.split())
    return [word for word in stripped if word]


def starting_with(sentence: str, letter: str) -> list[str]:
    return [word for word in tokens(sentence) if word[0].lower() == letter.lower()]


def _draw_starting(rng: random.Random) -> tuple[Item, str | None]:
    while True:
        sentence = any_sentence(rng)
        letters = [word[0].lower() for word in tokens(sentence) if word[0].isalpha()]
        if letters and len(sentence) < 110:
            break
    letter = rng.choice(letters)
    return Item(f"{sentence} [{letter}]", " ".join(starting_with(sentence, letter))), sentence


def _sentence_task(
    function: Callable[[str], str], longest: int = 90
) -> Callable[[random.Random, str], Item]:
    def draw(rng: random.Random) -> tuple[Item, str | None]:
        while True:
            sentence = any_sentence(rng)
            if len(sentence) <= longest:
                return Item(sentence, function(sentence)), sentence

    return split_by(draw)


def _clause_task(
    make: Callable[[random.Random], Clause],
    shown: Callable[[Clause], str],
    answer: Callable[[Clause], str],
) -> Callable[[random.Random, str], Item]:
    def draw(rng: random.Random) -> tuple[Item, str | None]:
        clause = make(rng)
        return Item(shown(clause), answer(clause)), clause.statement()

    return split_by(draw)


def _question_clause(rng: random.Random) -> Clause:
    return rng.choice((_plain_be, _thing_be, _person_be, _modal))(rng)


def _subject_clause(rng: random.Random) -> Clause:
    return rng.choice((_action_past, _plain_be, _person_past, _thing_be))(rng)


# ---------------------------------------------------------------- sentiment

_PARTS = _words("story plot acting cast script ending dialogue music camera soundtrack")
_COUNTED_PARTS = _words("story plot cast script ending hero villain scene")
_ADVERBS = _words("very really truly often always surprisingly utterly quite rather simply")


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
            f"{_name(rng)}'s {subject} is {a}",
            f"{_name(rng)} gives {article(a)} performance",
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


def _draw_sentiment(rng: random.Random) -> tuple[Item, str | None]:
    positive = rng.random() < 0.5
    text = review(rng, positive)
    return Item(text, "positive" if positive else "negative"), text.lower().rstrip(". ")


# ---------------------------------------------------------------- the tasks


def tasks() -> list[MicroTask]:
    found: list[MicroTask] = []

    def change(
        name: str,
        make: Callable[[random.Random, str], Item],
        manual: str,
        vps: list[str],
        extra: list[str],
        *,
        weight: float = 1.0,
    ) -> None:
        found.append(
            define(
                name,
                "sentences",
                make,
                manual,
                verb_patterns(vps, "sentence"),
                extra,
                weight=weight,
            )
        )

    change(
        "active_to_passive",
        split_by(_draw_passive),
        "Rewrite the sentence in the passive voice",
        [
            "Rewrite the sentence in <the passive voice|passive form|the passive>",
            "Change the sentence from <active to passive|the active to the passive voice>",
            "Write the passive <form|version> of the sentence",
        ],
        [
            "$W the passive <form|voice> of $SENT",
            "<Turn|Convert> $SENT into <the |>passive <form|voice>",
            "Make the sentence passive",
            "passive voice",
            "active to passive",
            "What is the passive form of $SENT?",
            "Write $SENT in passive language",
            "Put $SENT in the passive",
        ],
        weight=2.5,
    )
    change(
        "passive_to_active",
        split_by(_draw_active),
        "Rewrite the sentence in the active voice",
        [
            "Rewrite the sentence in <the active voice|active form|the active>",
            "Change the sentence from <passive to active|the passive to the active voice>",
            "Write the active <form|version> of the sentence",
        ],
        [
            "$W the active <form|voice> of $SENT",
            "<Turn|Convert> $SENT into <the |>active <form|voice>",
            "Make the sentence active",
            "active voice",
            "passive to active",
            "What is the active form of $SENT?",
            "Put $SENT in the active",
        ],
    )
    change(
        "negation",
        _clause_task(any_clause, Clause.statement, Clause.negation),
        "Negate the sentence",
        [
            "Negate the <sentence|given sentence>",
            "Write the negation of the sentence",
            "Change the sentence to <its opposite|the opposite fact|say the opposite>",
            "Make the sentence negative",
        ],
        [
            "$W the negation",
            "$W the negation of $SENT",
            "Negate $SENT",
            "Write a <negated|negative> version of $SENT",
            "<Turn|Convert> $SENT into <its negation|a negative sentence|a negative one>",
            "<Add|Insert> the word not where it belongs",
            "negation",
            "What is the negation of $SENT?",
            "Deny the fact <in|stated in> $SENT",
            "State the opposite of the <given |>fact",
            "For each input, write a sentence that <says|means|expresses> the opposite",
            "You will be given a sentence that states a fact. State the opposite fact",
            "Say that it is not so",
        ],
        weight=3.0,
    )
    change(
        "make_question",
        _clause_task(_question_clause, Clause.statement, Clause.question),
        "Turn the sentence into a question",
        [
            "<Turn|Change|Convert> the sentence into a <question|yes or no question>",
            "Rewrite the <sentence|statement> as a question",
            "Make a question from the sentence",
        ],
        [
            "$W $SENT as a question",
            "Ask whether $SENT is true",
            "question form",
            "What question has this statement as its answer?",
            "statement to question",
        ],
    )
    found.append(
        define(
            "words_with_letter",
            "sentences",
            split_by(_draw_starting),
            "Write the words of the sentence that start with the letter in brackets",
            noun_patterns(
                "words that <start|begin> with the letter in <brackets|the brackets>",
                "sentence",
                "<of|in>",
                own="words that start with the letter in brackets",
                many=True,
            ),
            [
                "$W all <words|the words> <of|in|from> $SENT that <start|begin> with the letter in "
                "<square brackets|brackets|the brackets>",
                "List all the words in $SENT that <start|begin> with the <bracketed letter|letter "
                "in brackets>",
                "<Find|Extract> the words <of|in> $SENT <starting|beginning> with the bracketed "
                "letter",
                "Which words <of|in> $SENT <start|begin> with the letter in brackets?",
                "For each <input|sentence>, list all the words that begin with the "
                "<character|letter> written in the brackets",
                "$W all tokens in $SENT that start with the letter in [ ]",
                "$W the words with the bracketed first letter",
                "words that start with the bracketed letter",
                "words by bracketed letter",
                "<Read|Take> the sentence and copy the words that begin with the given letter",
            ],
            weight=2.5,
        )
    )
    found.append(
        define(
            "first_word",
            "sentences",
            _sentence_task(lambda s: tokens(s)[0]),
            "Write the first word of the sentence",
            noun_patterns("first <word|word|token>", "sentence", "<of|in>"),
            ["Which word does the sentence start with?", "Keep only the first word"],
        )
    )
    found.append(
        define(
            "last_word",
            "sentences",
            _sentence_task(lambda s: tokens(s)[-1]),
            "Write the last word of the sentence",
            noun_patterns("<last|final> word", "sentence", "<of|in>"),
            ["Which word does the sentence end with?", "Keep only the last word"],
        )
    )
    found.append(
        define(
            "count_words",
            "sentences",
            _sentence_task(lambda s: str(len(s.split()))),
            "Count the words of the sentence",
            noun_patterns("number of words", "sentence", "in", inside=False),
            [
                "<Count the|Count all the> words <of|in> $SENT",
                "How many words <does the sentence have|are in the sentence|are there in $SENT>?",
                "word count",
                "How long is the sentence, in words?",
            ],
        )
    )
    change(
        "sentence_upper_case",
        _sentence_task(str.upper, 45),
        "Write the sentence in capital letters",
        [
            "Write the sentence in <capital letters|upper case|capitals>",
            "Convert the sentence to <upper case|capital letters>",
        ],
        ["$W the whole sentence in <capitals|uppercase>", "Uppercase the sentence", "SHOUT IT"],
    )
    change(
        "sentence_past",
        _clause_task(
            lambda rng: simple_clause(rng, "present"),
            Clause.statement,
            lambda c: replace(c, tense="past").statement(),
        ),
        "Put the sentence in the past tense",
        [
            "<Put|Rewrite|Write> the sentence in the past <tense|tense|>",
            "Change the sentence from the present to the past",
        ],
        [
            "<Turn|Convert> $SENT into the past tense",
            "$W the past tense of the sentence",
            "present to past",
            "Tell it as something that happened yesterday",
            "sentence in the past",
        ],
    )
    change(
        "sentence_future",
        _clause_task(
            lambda rng: simple_clause(rng, rng.choice(("present", "past"))),
            Clause.statement,
            Clause.future,
        ),
        "Put the sentence in the future tense",
        [
            "<Put|Rewrite|Write> the sentence in the future <tense|tense|>",
            'Rewrite the sentence with "will"',
        ],
        [
            "<Turn|Convert> $SENT into the future tense",
            "$W the future tense of the sentence",
            "future tense",
            "Tell it as something that will happen tomorrow",
            "sentence in the future",
        ],
    )
    change(
        "swap_people",
        split_by(_draw_swapped),
        "Swap the two people in the sentence",
        [
            "Swap the <two people|subject and the object> in the sentence",
            "Exchange who acts and who is acted on in the sentence",
        ],
        [
            "$W $SENT with the two people <swapped|exchanged>",
            "swap subject and object",
            "Let the two people of $SENT change places",
            "Switch the roles <in|of the people in> $SENT",
        ],
    )
    found.append(
        define(
            "subject",
            "sentences",
            _clause_task(_subject_clause, Clause.statement, lambda c: upper_first(c.subject)),
            "Write the subject of the sentence",
            noun_patterns("<subject|grammatical subject>", "sentence", "of"),
            [
                "Who or what is the sentence about?",
                "subject only",
                "Write everything before the verb",
            ],
        )
    )
    found.append(
        MicroTask(
            "sentiment",
            "sentences",
            split_by(_draw_sentiment),
            expand_all(
                [
                    "Say whether the review is positive or negative",
                    "$S whether the <review|sentiment|opinion|sentence> is positive or negative",
                    "<Determine|Decide|Say|Tell> <whether|if> the <sentiment|sentiment of the input"
                    "|review|opinion> is positive or negative",
                    "Classify the <sentiment|sentiment of the sentence|review|opinion> as positive "
                    "or negative",
                    "Classify the sentiment of $SENT",
                    "What is the sentiment of $SENT?",
                    "Is the <review|sentence|sentiment|opinion> positive or negative?",
                    "sentiment",
                    "positive or negative",
                    "positive or negative?",
                    "sentiment of the review: positive or negative",
                    "$GIVEN a review. $S whether it is positive or negative",
                    "Given <a sentence|a text|an input text>, $s whether its sentiment is positive "
                    "or negative",
                    "<For|In> each input, <determine|decide> <whether|if> it expresses a positive "
                    "or a negative opinion",
                    "Does the writer like it? Answer positive or negative",
                    'Write "positive" if the <input|review> is a positive review and "negative" if '
                    "it is a negative <one|review>",
                    "Identify the sentiment of $SENT",
                ]
            ),
            expand_all(
                [
                    "Tell me if the critic was pleased: positive or negative",
                    "<Could|Can> you label the mood of this review, positive or negative?",
                    "Judge the review, positive or negative",
                ],
                1,
            ),
            "Say whether the review is positive or negative",
            weight=2.5,
        )
    )
    return found


def _draw_swapped(rng: random.Random) -> tuple[Item, str | None]:
    subject, target, _, verb = _people_pair(rng)
    shown = f"{upper_first(subject)} {words.past(verb)} {target}."
    return Item(shown, f"{upper_first(target)} {words.past(verb)} {subject}."), shown
