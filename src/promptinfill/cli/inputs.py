"""From options to the rows, templates and metric of one infilling job.

Kept apart from the command so that each way to give input is one function.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from promptinfill.data.records import read_jsonl, require_unicode
from promptinfill.errors import DataError, PromptInfillError, TemplateError
from promptinfill.tasks import InputKey, Row, Splits, distinct_inputs, get_task, input_key
from promptinfill.tasks.metrics import Metric, exact_match, get_metric
from promptinfill.templates import Field, Template

REFERENCES = "references"


class Budget(StrEnum):
    """How much a run may spend."""

    quick = "quick"
    full = "full"


@dataclass(frozen=True)
class Preset:
    """What one budget buys."""

    candidates: int
    examples: int
    validation: int
    test: int

    def splits(self, seed: int) -> Splits:
        """The rows of this budget."""
        return Splits(self.examples, self.validation, self.test, seed)


PRESETS = {
    Budget.quick: Preset(candidates=32, examples=20, validation=24, test=50),
    Budget.full: Preset(candidates=64, examples=20, validation=64, test=100),
}


@dataclass(frozen=True)
class Job:
    """Everything ``infill`` needs besides the models."""

    name: str
    template: Template
    examples: list[Row]
    validation: list[Row]
    test: list[Row]
    metric: Metric
    manual: str | None


def job_from_task(name: str, splits: Splits) -> Job:
    """A task's own template, rows, metric, and the first of its manual prompts."""
    task = get_task(name, splits)
    return Job(
        name=name,
        template=Template(task.template, task.response),
        examples=task.examples,
        validation=task.validation,
        test=task.test,
        metric=task.metric,
        manual=task.manual[0] if task.manual else None,
    )


def job_from_files(
    template: Template,
    examples: Path,
    splits: Splits,
    *,
    validation: Path | None = None,
    test: Path | None = None,
) -> Job:
    """The user's own template and rows."""
    response = template.response or ""
    own = {
        "validation": read_rows(validation, template) if validation else None,
        "test": read_rows(test, template) if test else None,
    }
    shown, validated, tested = share_rows(
        read_rows(examples, template), splits, response=response, source=examples, **own
    )
    return Job(examples.stem, template, shown, validated, tested, exact_match, None)


def share_rows(
    rows: list[Row],
    splits: Splits,
    *,
    response: str,
    source: Path,
    validation: list[Row] | None = None,
    test: list[Row] | None = None,
) -> tuple[list[Row], list[Row], list[Row]]:
    """Disjoint examples, validation and test rows, shuffled by seed.

    A set that is given is cut to its size in ``splits``; the others are drawn from ``rows``, less
    the rows of the given sets. If there are too few, each gets its share, and at least one. Rows
    are told apart by their input: of two that differ in the ``response`` alone the first counts.

    Raises:
        DataError: not even one row for each.
    """
    own = {"validation": validation, "test": test}
    given = {name: rows_ for name, rows_ in own.items() if rows_ is not None}
    sizes = {"examples": splits.examples, "validation": splits.validation, "test": splits.test}
    rng = random.Random(splits.seed)
    found: dict[str, list[Row]] = {}
    taken: set[InputKey] = set()
    for name in ("test", "validation"):  # a row of two files is a test row
        if name in given:
            pool = distinct_inputs(given[name], response, without=taken)
            taken |= {input_key(row, response) for row in pool}
            rng.shuffle(pool)
            found[name] = pool[: sizes[name]]
    pool = distinct_inputs(rows, response, without=taken)
    rng.shuffle(pool)
    open_sets = [name for name in sizes if name not in found]
    if len(pool) < len(open_sets):
        raise DataError(
            f"{source}: {len(pool)} usable rows are too few for {' and '.join(open_sets)} rows; "
            "give more rows, or files of their own by --validation and --test"
        )
    counts = _shares(len(pool), [sizes[name] for name in open_sets])
    for name, count in zip(open_sets, counts, strict=True):
        found[name], pool = pool[:count], pool[count:]
    for name, kept in found.items():
        if not kept:
            raise DataError(f"the {name} file has no rows, or none that is not in the test file")
    return found["examples"], found["validation"], found["test"]


def _shares(available: int, sizes: list[int]) -> list[int]:
    """``sizes``, or, when that is more than there is, their shares, none of them 0."""
    wanted = sum(sizes)
    if available >= wanted:
        return sizes
    counts = [max(1, available * size // wanted) for size in sizes]
    counts[counts.index(max(counts))] += available - sum(counts)
    return counts


def read_rows(path: Path, template: Template) -> list[Row]:
    """The template's fields (and "references") of every record; DataError names file:line."""
    return [_row(where, record, template) for where, record in read_jsonl(path)]


def _row(where: str, record: Mapping[str, Any], template: Template) -> Row:
    row = {}
    for name in template.fields:
        if name not in record:
            raise DataError(
                f"{where}: field {name!r} of the template is missing (it has {sorted(record)})"
            )
        row[name] = _text(where, name, record[name])
    references = record.get(REFERENCES)
    if isinstance(references, list) and references:
        answers = [_text(where, REFERENCES, value) for value in references]
        if any("\n" in answer for answer in answers):
            raise DataError(
                f"{where}: an answer of {REFERENCES!r} has a line break; give single lines"
            )
        row[REFERENCES] = "\n".join(answers)
    elif references is not None and REFERENCES not in row:
        raise DataError(f"{where}: {REFERENCES!r} must be a list of right answers")
    return row


def _text(where: str, name: str, value: Any) -> str:
    if isinstance(value, str):
        require_unicode(where, value)
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise DataError(f"{where}: field {name!r} must be text or a number")


def with_metric(job: Job, name: str | None) -> Job:
    """``job`` under the metric ``name``, if one is given."""
    return job if name is None else replace(job, metric=get_metric(name))


def read_template(given: str, response: str | None) -> Template:
    """``--template``: a file or the text itself; the response is its last field by default."""
    source = text_or_file(given, "--template", "[MASK")
    parsed = Template(source)
    if response is None:
        if not parsed.parts or not isinstance(parsed.parts[-1], Field):
            raise PromptInfillError(
                "the template must end with the field that holds the answer, for example {output}"
            )
        response = parsed.parts[-1].name
    template = Template(source, response)
    template.require_holes()
    return template


def read_manual(given: str, response: str | None) -> str:
    """``--manual``: a file or the text itself, over the same fields."""
    source = text_or_file(given, "--manual", "{")
    try:
        manual = Template(source, response)
    except TemplateError as error:
        raise PromptInfillError(f"--manual: {error}") from None
    if manual.holes:
        raise PromptInfillError("the manual prompt has a hole: write it out in full")
    return source


def text_or_file(given: str, option: str, mark: str) -> str:
    r"""The content of a file (its last line break taken off), or ``given`` itself.

    On the command line ``\n`` stands for a line break. A text without ``mark`` that names no file
    is a mistyped path.
    """
    if _is_file(given):
        try:
            text = Path(given).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise PromptInfillError(f"cannot read {given} as UTF-8 text: {error}") from None
        return text.removesuffix("\n").removesuffix("\r")
    if mark not in given:
        raise PromptInfillError(
            f"{option} {given!r} is neither a file nor such a text: it has no {mark}"
        )
    return unescape_breaks(given)


def unescape_breaks(text: str) -> str:
    r"""Line breaks for ``\n``, as one types them on a command line."""
    return text.replace("\\n", "\n")


def _is_file(given: str) -> bool:
    try:
        return Path(given).is_file()
    except (OSError, ValueError):  # too long, or a NUL
        return False
