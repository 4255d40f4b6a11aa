import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from helpers import word_tokenizer
from promptinfill.data.records import read_hub, read_jsonl, record_segments
from promptinfill.errors import DataError
from promptinfill.templates import Template

TEMPLATE = Template("Word: {word}\nFirst: {first}", response="first")


def segments(record: Any, template: Template | None = None) -> list[tuple[str, str, str]]:
    found = record_segments("f:3", record, template=template, tokenizer=word_tokenizer())
    return [(s.text, s.kind, s.region) for s in found]


def refused(record: Any, why: str, template: Template | None = None) -> None:
    with pytest.raises(DataError, match=rf"^f:3: .*{why}"):
        segments(record, template)


# --- files ------------------------------------------------------------------------------------


def test_lines_are_numbered_and_empty_ones_skipped(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_bytes('\ufeff{"a": 1}\r\n\n  \n{"é": "\u2028"}'.encode())
    assert list(read_jsonl(path)) == [(f"{path}:1", {"a": 1}), (f"{path}:4", {"é": "\u2028"})]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{'a': 1}", "not valid JSON"),
        (b'{"a": 1} x', "not valid JSON"),
        (b"[1]", "a record is a JSON object, not a list"),
        (b'"a"', "a record is a JSON object, not a str"),
        (b"null", "a record is a JSON object, not null"),
        (b'{"a": "\xff"}', "not UTF-8 text"),
    ],
)
def test_a_broken_line_is_named(line: bytes, why: str, tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n\n' + line + b'\n{"a": 2}\n')
    read = read_jsonl(path)
    assert next(read) == (f"{path}:1", {"a": 1})
    with pytest.raises(DataError, match=f"^{path}:3: {why}"):
        next(read)


def test_a_file_that_is_not_there(tmp_path: Path):
    for path in (tmp_path / "absent.jsonl", tmp_path):
        with pytest.raises(DataError, match=f"cannot read {path}"):
            next(read_jsonl(path))


# --- shapes -----------------------------------------------------------------------------------


def test_prompt_and_response():
    record = {"prompt": "Say {hi}. ", "response": "[MASK:2]", "id": 7}
    assert segments(record) == [
        ("Say {hi}. ", "field", "prompt"),
        ("[MASK:2]", "field", "response"),
    ]


def test_messages():
    record = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    assert segments(record)[-1] == ("b", "field", "response")


def test_fields_of_a_template():
    record = {"word": "[MASK:3] {first}", "first": 7, "more": None}
    assert segments(record, TEMPLATE) == [
        ("Word: ", "literal", "prompt"),
        ("[MASK:3] {first}", "field", "prompt"),
        ("\nFirst: ", "literal", "prompt"),
        ("7", "field", "response"),
    ]


def test_a_record_of_no_known_shape():
    refused({"text": "x", "label": "y"}, r"'prompt' and 'response', or 'messages', or a template")
    refused({"text": "x", "label": "y"}, r"it has \['label', 'text'\]")


def test_a_field_is_missing():
    refused({"prompt": "a"}, r"field 'response' is missing; the record has \['prompt'\]")
    refused({"response": "a"}, "field 'prompt' is missing")
    refused({"word": "a"}, r"field 'first' is missing; the record has \['word'\]", TEMPLATE)


@pytest.mark.parametrize(
    ("value", "kind"),
    [(None, "null"), (True, "a boolean"), (["a"], "a list"), ({}, "an object")],
)
def test_a_field_is_not_text(value: Any, kind: str):
    refused({"prompt": "a", "response": value}, f"field 'response' must be text, not {kind}")
    refused({"word": value, "first": "a"}, f"field 'word' must be text, not {kind}", TEMPLATE)


@pytest.mark.parametrize("empty", ["", " \n"])
def test_an_empty_response(empty: str):
    refused({"prompt": "a", "response": empty}, "the response is empty")
    refused({"word": "a", "first": empty}, "the response is empty", TEMPLATE)
    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": empty}]
    refused({"messages": talk}, "the response is empty")


def test_a_conversation_that_does_not_end_with_the_assistant():
    refused({"messages": [{"role": "user", "content": "a"}]}, "the last message must be")


def test_half_a_surrogate_pair_is_no_text():
    for record in ({"prompt": "\ud83d", "response": "a"}, {"prompt": "a", "response": "\ude00"}):
        refused(json.loads(json.dumps(record)), "surrogate")
    whole = json.loads('{"prompt": "\\ud83d\\ude00", "response": "a"}')
    assert segments(whole)[0][0] == "😀"


# --- the hub ----------------------------------------------------------------------------------


def test_hub_rows_are_named(monkeypatch):
    def load_dataset(name: str, split: str, revision: str | None) -> list[dict[str, str]]:
        assert (name, split, revision) == ("me/data", "test", "abc")
        return [{"prompt": "a"}, {"prompt": "b"}]

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    rows = [("me/data/test:0", {"prompt": "a"}), ("me/data/test:1", {"prompt": "b"})]
    assert list(read_hub("me/data", "test", "abc")) == rows


def test_the_hub_needs_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"pip install promptinfill\[hub\]"):
        read_hub("me/data", "test", None)


@pytest.mark.parametrize("error", [FileNotFoundError("no such set"), ValueError("Unknown split")])
def test_hub_data_that_cannot_be_read_is_the_users_to_mend(monkeypatch, error):
    def load_dataset(name: str, split: str, revision: str | None) -> None:
        raise error

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    with pytest.raises(DataError, match=rf"hub data set me/data/dev: {error}"):
        read_hub("me/data", "dev", None)
