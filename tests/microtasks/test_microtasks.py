"""The catalogue as a whole: phrasings, splits, records."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from collections import Counter

import pytest

from promptinfill.errors import TaskError
from promptinfill.microtasks import (
    CATALOGUE,
    content_words,
    get_task,
    records,
    render_record,
    sample_record,
    vocabulary_words,
    words,
)
from promptinfill.microtasks.core import GROUPS
from promptinfill.microtasks.generator import FORMATS, LONGEST
from promptinfill.microtasks.phrasing import expand, is_reserved

NAMES = sorted(CATALOGUE)


def test_size_of_the_catalogue():
    assert len(CATALOGUE) >= 48
    assert {t.group for t in CATALOGUE.values()} == set(GROUPS)
    assert sum(t.held_out for t in CATALOGUE.values()) == 5


@pytest.mark.parametrize("name", NAMES)
def test_phrasings_are_many_and_of_different_lengths(name):
    task = CATALOGUE[name]
    lengths = {len(p.split()) for p in task.phrasings}
    assert task.name == name
    assert len(task.phrasings) >= 20
    assert len(lengths) >= 5
    assert min(lengths) <= 4
    assert 2 <= len(task.held_out_phrasings) <= 4
    assert task.manual in task.phrasings
    for phrasing in task.phrasings + task.held_out_phrasings:
        assert phrasing == " ".join(phrasing.split())
        assert not set(phrasing) & set("<>|$"), phrasing
        assert phrasing[0] == phrasing[0].upper()


def test_no_phrasing_belongs_to_two_tasks_or_to_both_sets():
    owners: dict[str, list[str]] = {}
    for task in CATALOGUE.values():
        for phrasing in (*task.phrasings, *task.held_out_phrasings):
            owners.setdefault(phrasing.lower().rstrip("?"), []).append(task.name)
    assert {p: names for p, names in owners.items() if len(set(names)) > 1} == {}
    for task in CATALOGUE.values():
        held_out = {p.lower() for p in task.held_out_phrasings}
        assert held_out.isdisjoint(p.lower() for p in task.phrasings)


@pytest.mark.parametrize("name", NAMES)
def test_no_test_item_in_a_large_train_sample(name):
    task = CATALOGUE[name]
    rng = random.Random(1)
    train = {task.make(rng, "train").input for _ in range(1500)}
    test = {task.make(rng, "test").input for _ in range(100)}
    assert all(test)
    if task.closed:
        assert test & train  # a table of facts is the same in both splits
    else:
        assert test.isdisjoint(train)


@pytest.mark.parametrize("name", NAMES)
def test_items_are_clean_and_the_input_decides_the_output(name):
    task = CATALOGUE[name]
    rng = random.Random(2)
    answers: dict[str, str] = {}
    for _ in range(800):
        item = task.make(rng, "train")
        assert item.input == item.input.strip() != ""
        assert item.output == item.output.strip() != ""
        assert "\n" not in item.input + item.output
        assert "  " not in item.input
        assert answers.setdefault(item.input, item.output) == item.output


def test_unknown_names_say_what_is_known():
    with pytest.raises(TaskError, match=r"did you mean 'first_letter'.*known tasks: .*sum"):
        get_task("first_leter")
    with pytest.raises(TaskError, match="held out"):
        sample_record(random.Random(0), task="half")
    with pytest.raises(TaskError, match="unknown split"):
        sample_record(random.Random(0), split="dev")
    with pytest.raises(TaskError, match="unknown split"):
        get_task("sum").make(random.Random(0), "dev")
    with pytest.raises(TaskError, match="unknown phrasings"):
        sample_record(random.Random(0), phrasings="all")
    assert sample_record(random.Random(0), split="test", task="half").task == "half"


def test_records_are_deterministic_and_sliceable():
    whole = list(records(7, 60, "train"))
    assert whole == list(records(7, 60, "train"))
    assert whole[20:35] == list(records(7, 15, "train", start=20))
    assert whole != list(records(8, 60, "train"))
    assert whole != list(records(7, 60, "test"))


@pytest.fixture(scope="module")
def train_sample():
    return list(records(3, 20_000, "train"))


def test_training_never_shows_what_is_held_out(train_sample):
    held_out_tasks = {t.name for t in CATALOGUE.values() if t.held_out}
    seen = {r.task for r in train_sample}
    assert seen == set(CATALOGUE) - held_out_tasks
    forbidden = {p.lower() for t in CATALOGUE.values() for p in t.held_out_phrasings}
    forbidden |= {p.lower() for n in held_out_tasks for p in CATALOGUE[n].phrasings}
    for record in train_sample:
        assert record.instruction.lower().rstrip(".:?") not in {p.rstrip("?") for p in forbidden}


def test_the_asked_item_is_never_among_the_examples(train_sample):
    for record in train_sample:
        inputs = [e.input for e in record.examples] + [record.item.input]
        assert len(set(inputs)) == len(inputs)


def test_mix_of_example_counts_and_formats(train_sample):
    counts = Counter(len(r.examples) for r in train_sample)
    assert 0.48 < counts[0] / len(train_sample) < 0.56
    assert min(counts[k] for k in range(6)) > 300
    formats = Counter(r.template for r in train_sample)
    assert set(formats) >= {template for template, _ in FORMATS}
    empty = [r for r in train_sample if not r.instruction]
    assert 0.01 < len(empty) / len(train_sample) < 0.04
    assert all(len(r.examples) >= 2 for r in empty)
    assert max(sum(map(len, render_record(r))) for r in train_sample) < LONGEST + 100


def test_rendering_writes_header_once_and_one_block_an_example(train_sample):
    template = "Instruction: {instruction}\n\nInput: {input}\nOutput: {output}"
    record = next(r for r in train_sample if r.template == template and len(r.examples) == 2)
    one, two = record.examples
    prompt, response = render_record(record)
    assert prompt == (
        f"Instruction: {record.instruction}\n\n"
        f"Input: {one.input}\nOutput: {one.output}\n"
        f"Input: {two.input}\nOutput: {two.output}\n"
        f"Input: {record.item.input}\nOutput: "
    )
    assert response == record.item.output


def test_rendering_repeats_an_instruction_that_stands_in_the_block(train_sample):
    template = "Input: {input}\n{instruction}\nOutput: {output}"
    record = next(r for r in train_sample if r.template == template and len(r.examples) == 1)
    (one,) = record.examples
    assert render_record(record)[0] == (
        f"Input: {one.input}\n{record.instruction}\nOutput: {one.output}\n"
        f"Input: {record.item.input}\n{record.instruction}\nOutput: "
    )


def test_held_out_phrasings_on_request():
    rng = random.Random(4)
    allowed = {p.lower() for p in CATALOGUE["sum"].held_out_phrasings}
    for _ in range(50):
        record = sample_record(rng, split="test", task="sum", phrasings="held_out")
        bare = record.instruction.lower().rstrip(".:")
        assert not record.instruction or any(p in bare or p == bare for p in allowed)


def test_word_lists_cover_the_instructions(train_sample):
    known = set(vocabulary_words())
    assert len(known) == len(vocabulary_words())
    for record in train_sample[:3000]:
        for word in record.instruction.replace("-ing", "").split():
            letters = word.strip(".,:?!\"'[]-")
            if letters.isalpha():
                assert letters in known or letters.lower() in known, record.instruction
    assert {"letter", "word", "first", "Input", "Output", "twenty"} <= known
    assert len(content_words()) > 3000


def test_the_list_of_instruction_words_is_that_of_the_phrasings():
    text = " ".join(p for task in CATALOGUE.values() for p in task.phrasings).lower()
    found = set(re.findall(r"\b[a-z]{2,12}\b", text))
    listed = words.lines("instruction_words")
    assert listed == tuple(sorted(listed))
    assert {"add": found - set(listed), "remove": set(listed) - found} == {
        "add": set(),
        "remove": set(),
    }


def test_listing_the_tasks_waits_for_neither_inflect_nor_the_phrasings():
    code = (
        "import sys; from promptinfill.microtasks import CATALOGUE;"
        "assert not {'inflect', 'num2words'} & set(sys.modules);"
        "assert not any('phrasings' in vars(task) for task in CATALOGUE.values())"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_words_of_the_instructions_are_spelled_in_train():
    rng = random.Random(5)
    make = CATALOGUE["letters_list"].make
    seen = {make(rng, "train").input for _ in range(40_000)}
    assert {"word", "letter", "first", "number", "write"} <= seen


def test_no_instruction_is_a_human_one_of_an_evaluation_set(train_sample):
    assert is_reserved("negate the given SENTENCE.")  # one of them, so the list is not empty
    assert not is_reserved("Turn the sentence around")
    for task in CATALOGUE.values():
        assert not any(map(is_reserved, task.phrasings + task.held_out_phrasings))
    assert not any(is_reserved(r.instruction) for r in train_sample)


def test_grammar_expansion():
    assert expand("<a|b> c<s|>") == ["A cs", "A c", "B cs", "B c"]
    assert expand("<x <y|z>|w> <|v>") == ["X y", "X y v", "X z", "X z v", "W", "W v"]
    for broken in ("<a|b", "a|b", "a> b"):
        with pytest.raises(ValueError, match="pattern"):
            expand(broken)
