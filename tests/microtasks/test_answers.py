"""Every task's answers, recomputed another way or held against known pairs."""

from __future__ import annotations

import random
import re
from itertools import pairwise
from pathlib import Path

import pytest

from promptinfill.microtasks import CATALOGUE, words
from promptinfill.microtasks.clauses import Clause


def items(name, count=300, seed=11):
    rng = random.Random(seed)
    make = CATALOGUE[name].make
    return [make(rng, rng.choice(("train", "test"))) for _ in range(count)]


def split_list(text):
    return text.split(", ") if ", " in text else text.split(" ")


def separator(text):
    return ", " if ", " in text else " "


def ints(text):
    return [int(n) for n in re.findall(r"\d+", text)]


LETTERS = {
    "first_letter": lambda w: w[:1],
    "last_letter": lambda w: w[len(w) - 1],
    "second_letter": lambda w: w[1:2],
    "third_letter": lambda w: w[2:3],
    "letters_list": lambda w: re.sub(r"(?<=.)(?=.)", " ", w),
    "letters_commas": lambda w: re.sub(r"(?<=.)(?=.)", ", ", w),
    "letters_hyphens": lambda w: re.sub(r"(?<=.)(?=.)", "-", w),
    "reverse_word": lambda w: "".join(reversed(w)),
    "word_length": lambda w: str(sum(1 for _ in w)),
    "upper_case": lambda w: "".join(c.upper() for c in w),
    "lower_case": lambda w: w.casefold(),
    "capitalise": lambda w: w[0].upper() + w[1:],
    "remove_first_letter": lambda w: w[-(len(w) - 1) :],
    "remove_last_letter": lambda w: w[: len(w) - 1],
    "double_word": lambda w: " ".join([w] * 2),
    "first_three_letters": lambda w: w[0] + w[1] + w[2],
    "last_two_letters": lambda w: w[len(w) - 2] + w[len(w) - 1],
    "vowels": lambda w: "".join(c for c in w if c in "aeiou"),
    "remove_vowels": lambda w: "".join(c for c in w if c not in "aeiou"),
    "first_and_last_letter": lambda w: w[0] + " " + w[len(w) - 1],
    "second_to_last_letter": lambda w: w[::-1][1],
}

LISTS = {
    "first_item": lambda v, s: v[0],
    "last_item": lambda v, s: v[-1],
    "second_item": lambda v, s: v[1],
    "third_item": lambda v, s: v[2],
    "reverse_list": lambda v, s: s.join(v[::-1]),
    "sort_list": lambda v, s: s.join(sorted(v)),
    "count_items": lambda v, s: str(len(v)),
    "remove_first_item": lambda v, s: s.join(v[1:]),
    "remove_last_item": lambda v, s: s.join(v[:-1]),
    "longest_word": lambda v, s: sorted(v, key=len)[-1],
    "shortest_word": lambda v, s: sorted(v, key=len)[0],
    "join_and": lambda v, s: " and ".join(v),
    "join_hyphens": lambda v, s: "-".join(v),
    "swap_ends": lambda v, s: s.join(v[-1:] + v[1:-1] + v[:1]),
    "remove_duplicates": lambda v, s: s.join(w for i, w in enumerate(v) if w not in v[:i]),
    "first_and_last_item": lambda v, s: f"{v[0]}{s}{v[-1]}",
}

NUMBERS = {
    "sum": lambda v: v[0] + v[1],
    "difference": lambda v: v[0] - v[1],
    "larger_number": max,
    "smaller_number": min,
    "next_number": lambda v: v[0] + 1,
    "previous_number": lambda v: v[0] - 1,
    "double": lambda v: v[0] + v[0],
    "even_or_odd": lambda v: ("even", "odd")[v[0] % 2],
    "sum_three": sum,
    "largest_number": max,
    "smallest_number": min,
    "count_numbers": len,
    "last_digit": lambda v: str(v[0])[-1],
    "first_digit": lambda v: str(v[0])[0],
    "above_fifty": lambda v: "yes" if v[0] >= 51 else "no",
    "half": lambda v: v[0] / 2,
}


@pytest.mark.parametrize("name", sorted(LETTERS))
def test_letters(name):
    for item in items(name):
        assert item.output == LETTERS[name](item.input)


@pytest.mark.parametrize("name", sorted(LISTS))
def test_lists(name):
    for item in items(name):
        values = split_list(item.input)
        assert item.output == LISTS[name](values, separator(item.input))
    if name in ("longest_word", "shortest_word"):
        for item in items(name):
            lengths = [len(v) for v in split_list(item.input)]
            assert lengths.count(len(item.output)) == 1


def test_items_with_letter():
    for item in items("items_with_letter"):
        body, letter = re.fullmatch(r"(.*) \[(.)\]", item.input).groups()
        expected = [w for w in body.split(", ") if w.startswith(letter)]
        assert item.output.split(", ") == expected != []


@pytest.mark.parametrize("name", sorted(NUMBERS))
def test_numbers(name):
    for item in items(name):
        expected = NUMBERS[name](ints(item.input))
        if isinstance(expected, str):
            assert item.output == expected
        else:
            assert float(item.output) == expected


@pytest.mark.parametrize(("name", "sign"), [("sort_ascending", 1), ("sort_descending", -1)])
def test_sorted_numbers(name, sign):
    for item in items(name):
        out = [sign * n for n in ints(item.output)]
        assert all(a < b for a, b in pairwise(out))
        assert sorted(ints(item.input)) == sorted(ints(item.output))
        assert separator(item.input) == separator(item.output)


def test_number_words_both_ways():
    pairs = {
        0: "zero",
        122: "one hundred and twenty-two",
        504: "five hundred and four",
        2051: "two thousand and fifty-one",
        9997: "nine thousand, nine hundred and ninety-seven",
    }
    assert {n: words.number_words(n) for n in pairs} == pairs
    back = {words.number_words(n): n for n in range(10_000)}
    assert len(back) == 10_000
    for item in items("number_to_words"):
        assert back[item.output] == int(item.input)
    for item in items("words_to_number"):
        assert back[item.input] == int(item.output)
    for item in items("larger_in_words"):
        assert back[item.output] == max(ints(item.input))


def test_word_forms_against_known_pairs():
    cases = [
        (words.plural, "city cities|box boxes|knife knives|child children|mine mines|day days"),
        (words.past, "stop stopped|carry carried|play played|write wrote|admit admitted|go went"),
        (words.participle, "write written|stop stopped|choose chosen|know known|travel travelled"),
        (words.ing, "run running|write writing|lie lying|see seeing|open opening|begin beginning"),
        (words.third, "go goes|carry carries|play plays|watch watches|have has|fix fixes"),
        (lambda a: words.comparative(a)[0], "big bigger|happy happier|wide wider|good better"),
        (lambda a: words.comparative(a)[1], "big biggest|dry driest|shy shyest|bad worst"),
    ]
    for function, text in cases:
        for pair in text.split("|"):
            base, form = pair.split()
            assert function(base) == form
    assert words.comparative("famous") == ("more famous", "most famous")
    assert words.with_article("hour") == "an hour"
    assert words.with_article("unit") == "a unit"


@pytest.mark.parametrize(
    ("name", "other"),
    [("plural", words.plural), ("past_tense", words.past), ("ing_form", words.ing),
     ("third_person", words.third), ("past_participle", words.participle),
     ("article", words.with_article)],
)  # fmt: skip
def test_word_form_tasks_use_the_forms(name, other):
    for item in items(name, 100):
        assert item.output == other(item.input)


def test_derived_word_tasks():
    for item in items("singular", 100):
        assert words.plural(item.output) == item.input
    for item in items("plural_upper_case", 100):
        assert item.output == words.plural(item.input).upper()
    for item in items("comparative", 100):
        assert (item.output, words.comparative(item.input)[1]) == words.comparative(item.input)
    for item in items("superlative", 100):
        assert item.output.startswith("most ") or item.output.endswith("st")


def test_irregular_forms_stay_in_train():
    rng = random.Random(0)
    for _ in range(300):
        assert not words.is_irregular(CATALOGUE["past_tense"].make(rng, "test").input)


def test_fact_tables():
    assert words.antonyms()["hot"] == "cold"
    assert words.antonyms()["cold"] == "hot"
    assert words.synonyms()["big"] == "large"
    for table in (words.antonyms(), words.synonyms(), words.rhymes()):
        assert all(word != answer and answer for word, answer in table.items())
    assert len(words.antonyms()) > 350
    for name, table in (
        ("antonym", words.antonyms()),
        ("synonym", words.synonyms()),
        ("rhyme", words.rhymes()),
        ("category", words.category_of()),
        ("capital_of_country", dict(words.capitals())),
    ):
        for item in items(name, 100):
            assert table[item.input] == item.output
    for item in items("country_of_capital", 100):
        assert dict(words.capitals())[item.output] == item.input
    for item in items("is_animal", 200):
        assert item.output == ("yes" if item.input in words.animal_sizes() else "no")


def test_larger_and_smaller_animal():
    singular = {words.plural(a): a for a in words.animal_sizes()}
    sizes = words.animal_sizes()
    for name, best in (("larger_animal", max), ("smaller_animal", min)):
        for item in items(name):
            pair = item.input.split(", ")
            known = [sizes[p] if p in sizes else sizes[singular[p]] for p in pair]
            assert item.output == pair[known.index(best(known))]
            assert known[0] != known[1]


@pytest.mark.parametrize(
    ("name", "kind"), [("find_animals", "animal"), ("find_fruits", "fruit"),
                       ("find_colour", "colour")]
)  # fmt: skip
def test_selection(name, kind):
    members = words.category(kind)
    for item in items(name):
        listed = item.input.split(", ")
        assert item.output == ", ".join(w for w in listed if w in members)
        assert len(set(listed)) == len(listed) > len(item.output.split(", "))


def test_odd_one_out():
    of = words.category_of()
    for item in items("odd_one_out"):
        kinds = [of[w] for w in item.input.split(", ")]
        assert kinds.count(of[item.output]) == 1
        assert len(set(kinds)) == 2


def test_voices_undo_each_other():
    pattern = re.compile(r"(.+) (was|were) (\w+) by (.+)\.")
    for item in items("active_to_passive"):
        target, _be, _verb, agent = pattern.fullmatch(item.output).groups()
        assert item.input.lower().startswith(agent.lower())
        assert item.input[:-1].lower().endswith(target.lower())
    for item in items("passive_to_active"):
        target, _be, _verb, agent = pattern.fullmatch(item.input).groups()
        assert item.output.lower().startswith(agent.lower())
        assert item.output[:-1].lower().endswith(target.lower())


def test_number_agreement_in_the_passive():
    plurals = {words.plural(p) for p in words.people()}
    for item in items("active_to_passive"):
        head = re.split(" (?:was|were) ", item.output)[0]
        noun = head.split()[-1]
        assert (" were " in item.output) == (noun in plurals)


def test_negation_adds_exactly_one_not():
    for item in items("negation", 600):
        assert item.output[0] == item.input[0]
        assert len(re.findall(r"\bnot\b|cannot", item.output)) == 1
        before, after = item.input.split(), item.output.split()
        assert 0 <= len(after) - len(before) <= 2
        assert " do not is" not in item.output


@pytest.mark.parametrize(
    ("clause", "statement", "negation", "question", "future"),
    [
        (
            Clause("Anna", "die", "in Ghent", "past", proper=True),
            "Anna died in Ghent.",
            "Anna did not die in Ghent.",
            "Did Anna die in Ghent?",
            "Anna will die in Ghent.",
        ),
        (
            Clause("the dogs", "be", "small", "present", plural=True),
            "The dogs are small.",
            "The dogs are not small.",
            "Are the dogs small?",
            "The dogs will be small.",
        ),
        (
            Clause("metal", "be", "polished", "can"),
            "Metal can be polished.",
            "Metal cannot be polished.",
            "Can metal be polished?",
            "Metal will be polished.",
        ),
        (
            Clause("it", "carry", "water", "present"),
            "It carries water.",
            "It does not carry water.",
            "Does it carry water?",
            "It will carry water.",
        ),
    ],
)
def test_clause(clause, statement, negation, question, future):
    assert clause.statement() == statement
    assert clause.negation() == negation
    assert clause.question() == question
    assert clause.future() == future


def test_questions_and_tenses():
    for item in items("make_question"):
        assert item.output.endswith("?")
        assert sorted(item.output[:-1].lower().split()) == sorted(item.input[:-1].lower().split())
    for item in items("sentence_future"):
        assert " will " in item.output
    for item in items("sentence_past"):
        assert " will " not in item.output
        assert item.output.endswith(".")


def test_sentence_parts():
    for item in items("words_with_letter"):
        body, letter = re.fullmatch(r"(.*) \[(.)\]", item.input).groups()
        found = [w for w in re.findall(r"[\w'.-]+", body) if w.lower().startswith(letter)]
        assert item.output.split() == [w.strip("'.") for w in found] != []
    for item in items("first_word"):
        assert item.input.startswith(item.output)
    for item in items("last_word"):
        assert item.input.rstrip(".?").endswith(item.output)
    for item in items("count_words"):
        assert int(item.output) == item.input.count(" ") + 1
    for item in items("sentence_upper_case"):
        assert item.output.lower() == item.input.lower()
        assert item.output == item.output.upper()
    for item in items("subject"):
        assert item.input.startswith(item.output + " ")
    for item in items("swap_people"):
        middle = item.output[0].lower() + item.output[1:]
        assert sorted(item.input.lower()[:-1].split()) == sorted(middle.lower()[:-1].split())


def test_sentiment_follows_its_words():
    good, bad = set(words.lines("positive")), set(words.lines("negative"))
    assert good.isdisjoint(bad)
    seen = {item.output for item in items("sentiment")}
    assert seen == {"positive", "negative"}
    for item in items("sentiment", 600):
        text = item.input.lower()
        found = set(re.findall(r"[\w-]+", text))
        mixed = "despite" in found or "but" in found or "not" in found or "i" in found
        if not mixed and not any(
            p in text for p in words.lines("positive_phrases") + words.lines("negative_phrases")
        ):
            wrong = bad if item.output == "positive" else good
            assert not found & wrong, item


def test_every_task_is_checked_here():
    source = Path(__file__).read_text("utf-8")
    assert [name for name in CATALOGUE if f'"{name}"' not in source] == []
