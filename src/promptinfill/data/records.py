"""Records of people to segments: every line is checked before any training starts.

Three shapes are known: ``{"prompt": ..., "response": ...}``, chat ``{"messages": [...]}`` that end
with the assistant, and, when a template is given, a record of that template's fields.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from promptinfill.data.chat import chat_segments
from promptinfill.errors import DataError, TemplateError
from promptinfill.templates import Segment, Template


def read_jsonl(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield ("file:line", record) for every non-empty line; DataError names the broken one."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None
    with file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            where = f"{path}:{number}"
            try:
                record = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
            except UnicodeDecodeError:
                raise DataError(f"{where}: not UTF-8 text") from None
            except json.JSONDecodeError as error:
                raise DataError(f"{where}: not valid JSON ({error.msg})") from None
            if not isinstance(record, dict):
                raise DataError(f"{where}: a record is a JSON object, not {_kind(record)}")
            yield where, record


def record_segments(
    where: str, record: dict[str, Any], *, template: Template | None, tokenizer: Any
) -> tuple[Segment, ...]:
    """The segments of one training record.

    Args:
        where: "file:line" for messages.
        record: the JSON object.
        template: when given, the record holds its fields.
        tokenizer: gives the chat template for ``messages``.

    Raises:
        DataError: the record has none of the known shapes, a field is missing or not text, or the
            response is empty.
    """
    if template is not None:
        fields = {name: _text(where, record, name) for name in template.fields}
        try:
            segments = template.segments(fields)
        except TemplateError as error:
            raise DataError(f"{where}: {error}") from None
    elif "messages" in record:
        segments = chat_segments(where, record["messages"], tokenizer)
    elif "prompt" in record or "response" in record:
        segments = (
            Segment(_text(where, record, "prompt"), "field", "prompt", "prompt", None),
            Segment(_text(where, record, "response"), "field", "response", "response", None),
        )
    else:
        raise DataError(
            f"{where}: a record needs 'prompt' and 'response', or 'messages', or a template in "
            f"the recipe for its fields; it has {sorted(record)}"
        )
    if not any(s.region == "response" and s.text.strip() for s in segments):
        raise DataError(f"{where}: the response is empty")
    for segment in segments:
        require_unicode(where, segment.text)
    return segments


def read_hub(dataset_id: str, split: str, revision: str | None) -> Iterable[tuple[str, Any]]:
    """Yield ("id/split:row", record) of a hub data set; needs the ``hub`` extra.

    Raises:
        DataError: the extra is missing, or the data set or its split cannot be read.
    """
    try:
        import datasets
    except ImportError:
        raise DataError(
            "hub data needs the datasets library: pip install promptinfill[hub]"
        ) from None
    try:
        rows = datasets.load_dataset(dataset_id, split=split, revision=revision)
    except (OSError, ValueError) as error:  # absent, offline, or no such split
        reason = " ".join(str(error).split())
        raise DataError(f"cannot read the hub data set {dataset_id}/{split}: {reason}") from None
    return ((f"{dataset_id}/{split}:{i}", dict(row)) for i, row in enumerate(rows))


def _text(where: str, record: dict[str, Any], name: str) -> str:
    if name not in record:
        raise DataError(f"{where}: field {name!r} is missing; the record has {sorted(record)}")
    value = record[name]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise DataError(f"{where}: field {name!r} must be text, not {_kind(value)}")
    return value


def require_unicode(where: str, text: str) -> None:
    """DataError for what JSON can spell and no tokenizer can read."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(f"{where}: holds half of a surrogate pair, which is no text") from None


def _kind(value: Any) -> str:
    return {list: "a list", dict: "an object", type(None): "null", bool: "a boolean"}.get(
        type(value), f"a {type(value).__name__}"
    )
