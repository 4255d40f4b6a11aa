"""Tasks about the forms and the meaning of one word."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from functools import cache

from promptinfill.microtasks import words
from promptinfill.microtasks.core import Item, MicroTask, shared, split_by
from promptinfill.microtasks.define import define
from promptinfill.microtasks.phrasing import noun_patterns, verb_patterns

# Adjectives that do not take a natural comparative, although the lexicon lists them.
_NO_COMPARATIVE = {"ill", "unlikely", "innocent", "unknown", "tragic", "comic"}


def _form_task(
    pool: Callable[[], Sequence[str]],
    function: Callable[[str], str],
    irregular: Callable[[str], bool] = lambda word: False,
    show: Callable[[str], str] = str,
) -> Callable[[random.Random, str], Item]:
    """`pool` is asked on every draw: plurals, for one, are slow to make and not needed before.

    Irregular forms are facts: they stay in train. Regular ones are split by the word.
    """

    def draw(rng: random.Random) -> tuple[Item, str | None]:
        word = rng.choice(pool())
        return Item(show(word), function(word)), None if irregular(word) else word

    return split_by(draw)


def _fact_task(table: Mapping[str, str]) -> Callable[[random.Random, str], Item]:
    keys = tuple(table)

    def draw(rng: random.Random) -> Item:
        word = rng.choice(keys)
        return Item(word, table[word])

    return shared(draw)


@cache
def _comparable() -> tuple[str, ...]:
    return tuple(w for w in words.lines("adjectives") if w not in _NO_COMPARATIVE)


def _irregular_noun(noun: str) -> bool:
    return noun in words.irregular_plurals()


def tasks() -> list[MicroTask]:
    nouns, verbs = words.countable, words.verbs
    special = {"good", "bad", "ill"}.__contains__
    found: list[MicroTask] = []

    def form(
        name: str,
        make: Callable[[random.Random, str], Item],
        manual: str,
        np: str,
        extra: list[str],
        *,
        closed: bool = False,
        held_out: bool = False,
        weight: float = 1.0,
    ) -> None:
        found.append(
            define(
                name,
                "words",
                make,
                manual,
                noun_patterns(np, "word", "of", inside=False),
                extra,
                closed=closed,
                held_out=held_out,
                weight=weight,
            )
        )

    form(
        "plural",
        _form_task(nouns, words.plural, _irregular_noun),
        "Write the plural of the word",
        "plural <form|form|>",
        [
            "Change $WORD <from singular |>to plural",
            "<Convert|Turn> $WORD <from singular to plural|into the plural>",
            "Convert the singular noun to its plural <form|>",
            "Pluralize $WORD",
            "Make $WORD plural",
            "singular to plural",
            "plural",
            "Write the noun as it is used for more than one",
            "How do you say $WORD when there are several?",
        ],
        weight=1.5,
    )
    form(
        "singular",
        _form_task(nouns, str, _irregular_noun, words.plural),
        "Write the singular of the word",
        "singular <form|form|>",
        [
            "Change $WORD <from plural |>to singular",
            "<Convert|Turn> $WORD <from plural to singular|into the singular>",
            "Convert the plural noun to its singular <form|>",
            "Make $WORD singular",
            "plural to singular",
            "singular",
            "Write the noun as it is used for only one",
        ],
    )
    form(
        "past_tense",
        _form_task(verbs, words.past, words.is_irregular),
        "Write the past tense of the verb",
        "past tense <form|>",
        [
            "$W the past tense of the <verb|given verb>",
            "Put the verb in the past <tense|>",
            "What is the past tense of the verb?",
            "Convert the verb to the past tense",
            "past form of the verb",
            "Write the verb as it is used for yesterday",
        ],
    )
    form(
        "past_participle",
        _form_task(verbs, words.participle, words.is_irregular),
        "Write the past participle of the verb",
        "<past participle|past participle form>",
        [
            "$W the past participle of the <verb|given verb>",
            "$W the form of the verb used after have",
            'What form of the verb follows "have"?',
            "Convert the verb to its past participle",
        ],
    )
    form(
        "ing_form",
        _form_task(verbs, words.ing),
        "Write the -ing form of the verb",
        "<-ing form|present participle|gerund>",
        [
            "$W the <-ing form|present participle> of the <verb|given verb>",
            "Put the verb in the -ing form",
            "What is the -ing form of the verb?",
            "Make $WORD end in -ing",
        ],
    )
    form(
        "third_person",
        _form_task(verbs, words.third),
        "Write the third person singular of the verb",
        "third person singular <form|>",
        [
            '$W the form of the verb used with "he" or "she"',
            "$W the third person singular of the <verb|given verb>",
            "Put the verb in the third person singular",
            'How does the verb end after "she"? Write it',
            "he or she form",
        ],
    )
    form(
        "comparative",
        _form_task(_comparable, lambda w: words.comparative(w)[0], special),
        "Write the comparative of the adjective",
        "comparative <form|form|>",
        [
            "$W the comparative of the <adjective|given adjective>",
            "Change the adjective to its comparative form",
            "What is the comparative of the adjective?",
            "Compare two things with this adjective: write its form",
            "comparative",
        ],
    )
    form(
        "superlative",
        _form_task(_comparable, lambda w: words.comparative(w)[1], special),
        "Write the superlative of the adjective",
        "superlative <form|form|>",
        [
            "$W the superlative of the <adjective|given adjective>",
            "Change the adjective to its superlative form",
            "What is the superlative of the adjective?",
            "Write the highest degree of the adjective",
            "superlative",
        ],
    )
    found.append(
        define(
            "article",
            "words",
            _form_task(nouns, words.with_article),
            'Write the word with "a" or "an"',
            verb_patterns(
                [
                    'Write the word with "a" or "an" <before it|in front>',
                    "Put the <right|correct> article before the word",
                    "Add the indefinite article to the word",
                ],
                "word",
            ),
            ["a or an?", "with its indefinite article", "Does the noun take a or an? Write both"],
        )
    )
    form(
        "antonym",
        _fact_task(words.antonyms()),
        "Write the opposite of the word",
        "<antonym|opposite|antonym>",
        [
            "Write a word that means the opposite <of the input word|of the word|>",
            "$W <a word|the word> with the opposite meaning",
            "$W an antonym <of|for> $WORD",
            "Provide an antonym",
            "antonym",
            "Which word is the opposite of $WORD?",
            "You will be given a word and you need to output its opposite",
        ],
        closed=True,
        weight=2.0,
    )
    form(
        "synonym",
        _fact_task(words.synonyms()),
        "Write a synonym of the word",
        "synonym",
        [
            "$W a synonym <of|for> $WORD",
            "Provide a synonym",
            "$W a word with <a similar|the same|nearly the same> meaning",
            "$W a word that means <the same|nearly the same|something similar>",
            "$W a word that is similar <in meaning|> to $WORD",
            "another word for it",
            "What is another word for $WORD?",
            "Replace $WORD by one of similar meaning",
        ],
        closed=True,
        weight=1.5,
    )
    form(
        "rhyme",
        _fact_task(words.rhymes()),
        "Write a word that rhymes with the word",
        "rhyme",
        [
            "$W a word that rhymes <with $WORD|>",
            "$W a rhyme for $WORD",
            "What rhymes with $WORD?",
            "Which word rhymes with $WORD?",
            "Find a word that sounds like $WORD at the end",
            "a rhyming word",
            "rhyming word",
            "$W a rhyming word",
            "$W a word with the same ending sound",
        ],
        closed=True,
        weight=1.5,
    )
    form(
        "plural_upper_case",
        _form_task(nouns, lambda w: words.plural(w).upper(), _irregular_noun),
        "Write the plural of the word in capital letters",
        "plural in <capital letters|upper case>",
        ["Make $WORD plural and write it in capital letters", "plural, all capitals"],
        held_out=True,
    )
    return found
