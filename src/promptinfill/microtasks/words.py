"""The lexicon: word lists from the package's text files, and the forms of English words.

Everything is computed once and cached: inflect is far too slow to be asked in the sampling loop,
and slow enough to import that it waits for the first plural or article.
"""

from __future__ import annotations

import random
import re
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inflect import engine

_VOWELS = "aeiou"

CATEGORY_FILES = {
    "animal": "animals",
    "fruit": "fruits",
    "vegetable": "vegetables",
    "vehicle": "vehicles",
    "clothing": "clothes",
    "colour": "colours",
    "instrument": "instruments",
    "furniture": "furniture",
    "tool": "tools",
    "food": "foods",
    "body part": "body_parts",
    "country": "countries",
    "profession": "people",
}


def listed(text: str) -> tuple[str, ...]:
    """The words of a short list written as one text."""
    return tuple(text.split())


@cache
def lines(name: str) -> tuple[str, ...]:
    """The entries of lexicon/NAME.txt, without comments and empty lines, each once."""
    text = resources.files(__package__).joinpath("lexicon", f"{name}.txt").read_text("utf-8")
    rows = (row.strip() for row in text.splitlines())
    return tuple(dict.fromkeys(row for row in rows if row and not row.startswith("#")))


def _columns(name: str, separator: str) -> list[list[str]]:
    return [[cell.strip() for cell in row.split(separator)] for row in lines(name)]


@cache
def nouns() -> tuple[str, ...]:
    return lines("nouns")


@cache
def people() -> tuple[str, ...]:
    return lines("people")


@cache
def animal_sizes() -> dict[str, int]:
    """Animal -> size class, 1 (ant) to 12 (whale)."""
    return {name: int(size) for name, size in _columns("animals", "/")}


@cache
def capitals() -> tuple[tuple[str, str], ...]:
    return tuple((country, city) for country, city in _columns("capitals", "/"))


@cache
def category(name: str) -> tuple[str, ...]:
    """The members of a category of CATEGORY_FILES."""
    if name == "animal":
        return tuple(animal_sizes())
    if name == "country":
        return tuple(country for country, _ in capitals())
    return lines(CATEGORY_FILES[name])


@cache
def category_of() -> dict[str, str]:
    """Word -> category, for the words that belong to exactly one category."""
    seen: dict[str, list[str]] = {}
    for name in CATEGORY_FILES:
        for word in category(name):
            seen.setdefault(word, []).append(name)
    return {word: names[0] for word, names in seen.items() if len(names) == 1}


@cache
def antonyms() -> dict[str, str]:
    """Word -> its antonym; a row that ends in a full stop holds in that direction only."""
    table: dict[str, str] = {}
    rows = lines("antonyms")
    for row in rows:
        word, answer = row.rstrip(".").split("/")
        table.setdefault(word, answer)
    for row in rows:
        word, answer = row.split("/")
        if not row.endswith("."):
            table.setdefault(answer, word)
    return table


@cache
def synonyms() -> dict[str, str]:
    table: dict[str, str] = {}
    for word, answer in _columns("synonyms", "/"):
        table.setdefault(word, answer)
    return table


@cache
def rhymes() -> dict[str, str]:
    """Word -> the next word of its rhyme family."""
    table: dict[str, str] = {}
    for family in lines("rhymes"):
        words = family.split()
        for word, answer in zip(words, words[1:] + words[:1], strict=True):
            table.setdefault(word, answer)
    return table


# ---------------------------------------------------------------- verbs


@cache
def _verb_table() -> dict[str, tuple[str, str, bool]]:
    """base -> (past, participle, irregular)."""
    table: dict[str, tuple[str, str, bool]] = {}
    for row in (*lines("verbs"), *lines("verbs_people")):
        parts = row.split("/")
        if len(parts) == 3:
            doubled = parts[0] + parts[0][-1] + "ed"
            regular = parts[1] == parts[2] and parts[1] in (_regular_past(parts[0]), doubled)
            table[parts[0]] = (parts[1], parts[2], not regular)
    for row in (*lines("verbs"), *lines("verbs_people")):
        if "/" not in row and row not in table:
            form = _regular_past(row)
            table[row] = (form, form, False)
    return table


@cache
def verbs() -> tuple[str, ...]:
    return tuple(_verb_table())


@cache
def verbs_people() -> tuple[str, ...]:
    return tuple(row.split("/")[0] for row in lines("verbs_people"))


def is_irregular(verb: str) -> bool:
    return _verb_table()[verb][2]


def _doubles(word: str) -> bool:
    """Whether the last consonant doubles before -ed, -ing, -er: one vowel, one syllable."""
    if word in {"forget", "begin", "regret", "commit", "control", "submit", "refer", "prefer"}:
        return True
    if word in {"admit", "permit", "occur", "forbid", "travel"}:
        return True
    return bool(re.fullmatch(r"(qu|[^aeiou])*[aeiouy][bdfgklmnprtvz]", word))


def _regular_past(verb: str) -> str:
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and verb[-2] not in _VOWELS:
        return verb[:-1] + "ied"
    return verb + verb[-1] + "ed" if _doubles(verb) else verb + "ed"


def past(verb: str) -> str:
    return _verb_table()[verb][0]


def participle(verb: str) -> str:
    return _verb_table()[verb][1]


@cache
def ing(verb: str) -> str:
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    if verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")) and verb != "be":
        return verb[:-1] + "ing"
    return verb + verb[-1] + "ing" if _doubles(verb) else verb + "ing"


@cache
def third(verb: str) -> str:
    """The third person singular of the present."""
    if verb in {"have", "be"}:
        return {"have": "has", "be": "is"}[verb]
    if verb.endswith(("s", "x", "z", "ch", "sh", "o")):
        return verb + ("zes" if verb == "quiz" else "es")
    if verb.endswith("y") and verb[-2] not in _VOWELS:
        return verb[:-1] + "ies"
    return verb + "s"


# ---------------------------------------------------------------- nouns and adjectives


@cache
def _engine() -> engine:
    import inflect

    return inflect.engine()


@cache
def irregular_plurals() -> dict[str, str]:
    return {row[0]: row[1] for row in _columns("irregular_plurals", "/")}


@cache
def plural(noun: str) -> str:
    head, space, last = noun.rpartition(" ")
    form = irregular_plurals().get(last) or str(_engine().plural_noun(last))
    return head + space + form


@cache
def with_article(noun: str) -> str:
    return str(_engine().a(noun))


@cache
def countable() -> tuple[str, ...]:
    """Every noun that has a plural of its own: nouns, people, animals, fruits, tools and so on."""
    pools = [nouns(), people(), category("animal")]
    pools += [category(name) for name in ("fruit", "vegetable", "instrument", "tool")]
    mass = set(lines("mass_nouns")) | {"broccoli", "spinach", "garlic", "celery", "kale"}
    mass |= {"asparagus", "lettuce", "guava", "lychee"}
    words = dict.fromkeys(word for pool in pools for word in pool)
    return tuple(w for w in words if w not in mass and " " not in w and plural(w) != w)


_TWO_SYLLABLE_ER = {"narrow", "shallow", "simple", "clever", "quiet", "gentle", "humble"}
_ALWAYS_ER = {"lovely", "lonely", "lively", "stale", "pale"}
_ALWAYS_MORE = {"ashamed", "tired", "skilled", "crooked", "loyal"}
_IRREGULAR_ADJECTIVES = {
    "good": ("better", "best"),
    "bad": ("worse", "worst"),
    "ill": ("worse", "worst"),
    "cruel": ("crueller", "cruellest"),
}


def _syllables(word: str) -> int:
    stem = word[:-1] if word.endswith("e") and not word.endswith("le") else word
    return max(1, len(re.findall(r"[aeiouy]+", stem)))


@cache
def comparative(adjective: str) -> tuple[str, str]:
    """(comparative, superlative)."""
    if adjective in _IRREGULAR_ADJECTIVES:
        return _IRREGULAR_ADJECTIVES[adjective]
    syllables = _syllables(adjective)
    short = adjective in _ALWAYS_ER or (
        adjective not in _ALWAYS_MORE
        and (
            syllables == 1
            or adjective in _TWO_SYLLABLE_ER
            or (syllables == 2 and adjective[-1] == "y")
        )
    )
    if not short:
        return f"more {adjective}", f"most {adjective}"
    if adjective.endswith("e"):
        stem = adjective[:-1]
    elif adjective.endswith("y") and adjective[-2] not in _VOWELS and adjective != "shy":
        stem = adjective[:-1] + "i"
    else:
        stem = adjective + (adjective[-1] if _doubles(adjective) else "")
    return stem + "er", stem + "est"


# ---------------------------------------------------------------- numbers


@cache
def number_words(number: int) -> str:
    """122 -> "one hundred and twenty-two"."""
    from num2words import num2words

    return str(num2words(number))


# ---------------------------------------------------------------- words to spell


@cache
def content_words() -> tuple[str, ...]:
    """All single words of the lexicon that tasks use as inputs, case kept, in a stable order."""
    pools: list[tuple[str, ...]] = [nouns(), lines("mass_nouns"), people(), verbs()]
    pools += [tuple(word for word in lines("adjectives"))]
    pools += [category(name) for name in CATEGORY_FILES]
    pools += [lines("materials"), lines("fields"), lines("languages"), lines("first_names")]
    pools += [lines("surnames"), lines("places"), tuple(city for _, city in capitals())]
    pools += [lines("positive"), lines("negative"), lines("review_subjects")]
    pools += [tuple(antonyms()), tuple(synonyms()), tuple(synonyms().values()), tuple(rhymes())]
    pieces = (piece for pool in pools for entry in pool for piece in entry.split())
    return tuple(dict.fromkeys(pieces))


@cache
def plain_words() -> tuple[str, ...]:
    """Lower-case words of two or more plain letters: what letter and list tasks draw from."""
    extra = [past(v) for v in verbs()] + [ing(v) for v in verbs()]
    words = dict.fromkeys((*content_words(), *extra))
    return tuple(w for w in words if re.fullmatch(r"[a-z]{2,12}", w))


_ONSETS = [
    "b",
    "c",
    "d",
    "f",
    "g",
    "h",
    "j",
    "k",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "t",
    "v",
    "w",
    "z",
    "bl",
    "br",
    "ch",
    "cl",
    "cr",
    "dr",
    "fl",
    "fr",
    "gl",
    "gr",
    "pl",
    "pr",
    "qu",
    "sc",
    "sh",
    "sk",
    "sl",
    "sm",
    "sn",
    "sp",
    "st",
    "str",
    "th",
    "tr",
    "tw",
    "wh",
]
_NUCLEI = ["a", "e", "i", "o", "u", "a", "e", "i", "o", "ai", "ea", "ee", "oa", "oo", "ou", "y"]
_CODAS = [
    "b",
    "d",
    "g",
    "k",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "t",
    "x",
    "ck",
    "ft",
    "ld",
    "lk",
    "ll",
    "lt",
    "mp",
    "nd",
    "ng",
    "nk",
    "nt",
    "rd",
    "rk",
    "rm",
    "rn",
    "rt",
    "sh",
    "sk",
    "ss",
    "st",
    "th",
]


def pseudo_word(rng: random.Random) -> str:
    """A pronounceable made-up word of three to nine letters."""
    while True:
        word = ""
        for _ in range(rng.choice((1, 2, 2, 3))):
            onset = rng.choice(_ONSETS) if rng.random() < 0.9 or word else ""
            word += onset + rng.choice(_NUCLEI)
        if rng.random() < 0.7:
            word += rng.choice(_CODAS)
        if 3 <= len(word) <= 9:
            return word
