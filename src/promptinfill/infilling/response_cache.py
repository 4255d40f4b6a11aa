"""Answers kept on disk: a prompt that a target has answered is never asked again."""

import hashlib
import json
from pathlib import Path
from typing import Any

from promptinfill.errors import DataError
from promptinfill.files import append_json_line
from promptinfill.targets import Cost, Target


class CachedTarget:
    """A target that remembers its answers in a JSONL file, shared by any number of runs.

    A target's answer depends on its settings, the prompt and the room alone (see
    :class:`promptinfill.targets.Target`), so these are the key. Costs count what was really asked.

    Args:
        target: answers what is not known yet.
        path: the file; made if absent. A last line cut short by a kill is ignored.

    Raises:
        DataError: a line that is no answer; the message names file:line.
    """

    def __init__(self, target: Target, path: str | Path) -> None:
        self.target = target
        self.path = Path(path)
        self.name = target.name
        self.batch_size = target.batch_size
        self.settings: dict[str, Any] = getattr(target, "settings", {})
        self._answers = _read(self.path)

    def answer(self, prompts: list[str], *, max_tokens: int) -> tuple[list[str], Cost]:
        """See :class:`promptinfill.targets.Target`; equal prompts are asked once."""
        keys = [self._key(prompt, max_tokens) for prompt in prompts]
        new = dict(zip(keys, prompts, strict=True))
        new = {key: prompt for key, prompt in new.items() if key not in self._answers}
        cost = Cost()
        if new:
            answers, cost = self.target.answer(list(new.values()), max_tokens=max_tokens)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            for key, answer in zip(new, answers, strict=True):
                append_json_line(self.path, {"key": key, "answer": answer})
                self._answers[key] = answer
        return [self._answers[key] for key in keys], cost

    def count_tokens(self, text: str) -> int:
        """The target's own count."""
        return self.target.count_tokens(text)

    def _key(self, prompt: str, max_tokens: int) -> str:
        asked = json.dumps([self.name, self.settings, max_tokens, prompt], sort_keys=True)
        return hashlib.blake2b(asked.encode(), digest_size=16).hexdigest()


def _read(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("rb+") as file:
            file.truncate(whole)
    answers: dict[str, str] = {}
    for number, line in enumerate(content[:whole].splitlines(), start=1):
        try:
            entry = json.loads(line)
            answers[entry["key"]] = entry["answer"]
        except (ValueError, TypeError, KeyError):
            raise DataError(f"{path}:{number}: not a kept answer; delete this line") from None
    return answers
