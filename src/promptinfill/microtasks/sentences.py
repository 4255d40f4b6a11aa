"""Tasks about one sentence."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from promptinfill.microtasks.clauses import (
    Clause,
    any_clause,
    question_clause,
    simple_clause,
    subject_clause,
)
from promptinfill.microtasks.compound import any_sentence
from promptinfill.microtasks.core import Item, MicroTask, split_by
from promptinfill.microtasks.define import define
from promptinfill.microtasks.phrasing import noun_patterns, upper_first, verb_patterns
from promptinfill.microtasks.reviews import draw_sentiment
from promptinfill.microtasks.voice import draw_active, draw_passive, draw_swapped


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
        split_by(draw_passive),
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
        split_by(draw_active),
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
        _clause_task(question_clause, Clause.statement, Clause.question),
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
        split_by(draw_swapped),
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
            _clause_task(subject_clause, Clause.statement, lambda c: upper_first(c.subject)),
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
        define(
            "sentiment",
            "sentences",
            split_by(draw_sentiment),
            "Say whether the review is positive or negative",
            (
                [
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
                ],
                [
                    "Tell me if the critic was pleased: positive or negative",
                    "<Could|Can> you label the mood of this review, positive or negative?",
                    "Judge the review, positive or negative",
                ],
            ),
            weight=2.5,
        )
    )
    return found
