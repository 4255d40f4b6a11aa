"""The result of a run: the chosen prompt, every candidate, the costs, and how to repeat it."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from promptinfill.errors import DataError
from promptinfill.evaluation.statistics import Interval
from promptinfill.files import write_json, write_text
from promptinfill.infilling.candidates import Candidate

RESULT, PROMPT, TIMING = "result.json", "prompt.txt", "timing.json"


@dataclass
class Result:
    """What :func:`promptinfill.infill` returns.

    Attributes:
        prompt: the best prompt in template syntax, fields still open.
        response: the response's field, if the template has one.
        candidates: every distinct candidate, best first.
        dropped: draws that were not usable, by reason; duplicates are counted here too.
        test: score of the prompt on the test rows, evaluated once; None without test rows.
        manual: the same for the hand-written prompt, when one was given.
        cost: model calls (rows through a model), tokens, and wall-clock seconds of this process.
        settings: everything needed to repeat the run.
    """

    prompt: str
    response: str | None
    candidates: list[Candidate]
    dropped: dict[str, int]
    test: Interval | None
    manual: Interval | None
    cost: dict[str, float]
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def best(self) -> Candidate:
        """The chosen candidate."""
        return self.candidates[0]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; seconds aside, equal for equal settings."""
        values = asdict(self)
        for entry, candidate in zip(values["candidates"], self.candidates, strict=True):
            entry["score"] = candidate.score
        return values

    def save(self, folder: str | Path) -> None:
        """Write ``result.json`` and ``prompt.txt``, the same for equal settings, and the time."""
        folder = Path(folder)
        values = self.to_json()
        timing = {"seconds": values["cost"].pop("seconds")}
        write_json(folder / RESULT, values)
        write_text(folder / PROMPT, self.prompt)
        write_json(folder / TIMING, timing)

    @classmethod
    def load(cls, folder: str | Path) -> "Result":
        """Read what :meth:`save` wrote; DataError when it is not there or not whole."""
        path = Path(folder) / RESULT
        values, timing = _read_json(path), _read_json(Path(folder) / TIMING)
        try:
            candidates = []
            for entry in values.pop("candidates"):
                entry.pop("score")
                candidates.append(Candidate(**entry))
            for name in ("test", "manual"):
                values[name] = Interval(**values[name]) if values[name] else None
            values["cost"] |= timing
            return cls(candidates=candidates, **values)
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path}: not the result of a run ({error})") from None


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not valid JSON ({error.msg})") from None
