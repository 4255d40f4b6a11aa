import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptinfill.cli.inputs import (
    Job,
    read_rows,
    read_template,
    share_rows,
    text_or_file,
    with_metric,
)
from promptinfill.errors import DataError, PromptInfillError
from promptinfill.tasks import Splits
from promptinfill.tasks.metrics import exact_match, f1
from promptinfill.templates import Template

TEMPLATE = Template("[MASK:3] {q} {a}", "a")
SOURCE = Path("rows.jsonl")


def make(count: int, start: int = 0) -> list[dict[str, str]]:
    return [{"q": str(i), "a": "x"} for i in range(start, start + count)]


@given(st.integers(3, 60), st.integers(1, 20), st.integers(1, 20), st.integers(1, 20))
def test_shares_are_disjoint_and_none_is_empty(n: int, a: int, b: int, c: int) -> None:
    found = share_rows(make(n), Splits(a, b, c, 0), response="a", source=SOURCE)
    seen = [row["q"] for rows in found for row in rows]
    assert len(seen) == len(set(seen))
    assert all(found)
    if n >= a + b + c:
        assert [len(rows) for rows in found] == [a, b, c]
    else:
        assert len(seen) == n


def test_equal_rows_count_once() -> None:
    shown, validation, test = share_rows(
        make(9) * 5, Splits(3, 3, 3, 0), response="a", source=SOURCE
    )
    assert len({row["q"] for row in [*shown, *validation, *test]}) == 9


def test_given_files_are_cut_and_kept_out_of_the_rest() -> None:
    pool, test = make(10), make(6)
    shown, validation, tested = share_rows(
        pool, Splits(20, 20, 4, 0), response="a", source=SOURCE, test=test
    )
    assert len(tested) == 4
    assert all(row in test for row in tested)
    # No row of the file is used otherwise, not even those that were cut off.
    assert not [row for row in [*shown, *validation] if row in test]
    assert len(shown) + len(validation) == 4


def test_a_validation_file_loses_test_rows() -> None:
    own, test = make(8), make(4)
    _, validation, _ = share_rows(
        make(5, 100), Splits(5, 8, 8, 0), response="a", source=SOURCE, validation=own, test=test
    )
    assert sorted(row["q"] for row in validation) == ["4", "5", "6", "7"]
    with pytest.raises(DataError, match="validation file"):
        share_rows(make(5, 100), Splits(), response="a", source=SOURCE, validation=test, test=test)


@pytest.mark.parametrize("name", ["validation", "test"])
def test_an_empty_file_is_not_taken_for_none(name: str) -> None:
    with pytest.raises(DataError, match=f"the {name} file has no rows"):
        share_rows(make(9), Splits(), response="a", source=SOURCE, **{name: []})


def test_too_few_rows() -> None:
    with pytest.raises(DataError, match="2 usable rows are too few"):
        share_rows(make(2), Splits(), response="a", source=SOURCE)


def test_rows_take_numbers_and_references(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"q": 3, "a": 1.5, "references": ["1.5", 2], "other": []}))
    assert read_rows(path, TEMPLATE) == [{"q": "3", "a": "1.5", "references": "1.5\n2"}]
    path.write_text(json.dumps({"q": True, "a": "x"}))
    with pytest.raises(DataError, match=r"rows\.jsonl:1: field 'q'"):
        read_rows(path, TEMPLATE)
    path.write_text(json.dumps({"q": "a\ud800", "a": "x"}))
    with pytest.raises(DataError, match=r"rows\.jsonl:1: holds half of a surrogate pair"):
        read_rows(path, TEMPLATE)
    path.write_text(json.dumps({"q": "a", "a": "x", "references": ["x\ny"]}))
    with pytest.raises(DataError, match="has a line break"):
        read_rows(path, TEMPLATE)
    path.write_text(json.dumps({"q": "a", "a": "x", "references": "x"}))
    with pytest.raises(DataError, match="list of right answers"):
        read_rows(path, TEMPLATE)


def test_a_metric_by_name_takes_the_place_of_the_own() -> None:
    rows = make(1)
    job = Job("j", TEMPLATE, rows, rows, rows, exact_match, None)
    assert with_metric(job, None).metric is exact_match
    assert with_metric(job, "f1").metric is f1


def test_equal_inputs_with_other_answers_stay_out_of_the_other_sets() -> None:
    rows = [row | {"a": answer} for row in make(9) for answer in "xyz"]
    found = share_rows(rows, Splits(9, 9, 9, 0), response="a", source=SOURCE)
    inputs = [row["q"] for rows_ in found for row in rows_]
    assert sorted(inputs) == sorted({row["q"] for row in rows})
    assert {row["a"] for rows_ in found for row in rows_} == {"x"}


def test_response_is_the_last_field_unless_named() -> None:
    assert read_template("[MASK:2] {a} {b}", None).response == "b"
    with pytest.raises(PromptInfillError, match="follows the response"):
        read_template("[MASK:2] {a} {b}", "a")


def test_only_one_last_line_break_of_a_file_goes(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes(b"[MASK] \\n {a}\n\n")
    assert text_or_file(str(path), "--template", "[MASK") == "[MASK] \\n {a}\n"
    path.write_bytes(b"[MASK] {a}\r\n")
    assert text_or_file(str(path), "--template", "[MASK") == "[MASK] {a}"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(PromptInfillError, match="UTF-8"):
        text_or_file(str(path), "--template", "[MASK")
