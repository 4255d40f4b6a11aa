"""A run folder: settings, and an append-only log of finished units of work.

A unit has a name and a JSON value. Asked for again, it comes from the log, so a killed run
continues where it stopped, and ends with the same result because every unit is a pure function of
the settings.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from promptinfill.errors import DataError, PromptInfillError
from promptinfill.files import append_json_line, write_json

SETTINGS, WORK = "settings.json", "work.jsonl"


class Run:
    """Finished units of one run, in memory and, if it has a folder, on disk.

    Attributes:
        settings: as given, in plain JSON values.
        units: finished units by name.
        used: names of the units that this process asked for, in order.
    """

    def __init__(self, folder: Path | None, settings: dict[str, Any]) -> None:
        self.folder = folder
        self.settings: dict[str, Any] = json.loads(json.dumps(settings))
        self.units: dict[str, Any] = {}
        self.used: dict[str, None] = {}
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        _check_settings(folder / SETTINGS, self.settings)
        for entry in _finished_lines(folder / WORK):
            self.units[entry["unit"]] = entry["value"]

    def unit(self, name: str, compute: Callable[[], Any]) -> Any:
        """The value of unit ``name``, computed unless it is finished already.

        The value goes through JSON either way, so a resumed run sees exactly what the first saw.
        """
        self.used[name] = None
        if name not in self.units:
            value = json.loads(json.dumps(compute()))
            if self.folder is not None:
                append_json_line(self.folder / WORK, {"unit": name, "value": value})
            self.units[name] = value
        return self.units[name]


def _check_settings(path: Path, settings: dict[str, Any]) -> None:
    if path.is_file():
        try:
            before = dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError):
            raise DataError(
                f"{path}: not the settings of a run; choose another folder, or delete it"
            ) from None
        if before != settings:
            changed = sorted(k for k in {*before, *settings} if before.get(k) != settings.get(k))
            raise PromptInfillError(
                f"{path.parent} holds a run with other settings ({', '.join(changed)} differ); "
                "choose another folder, or delete it"
            )
        return
    write_json(path, settings)


def _finished_lines(path: Path) -> list[Any]:
    """The whole lines of the log; a last line cut short by a kill is cut off the file."""
    if not path.is_file():
        return []
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("rb+") as file:
            file.truncate(whole)
            os.fsync(file.fileno())
    entries = []
    for number, line in enumerate(content[:whole].splitlines(), start=1):
        try:
            entries.append(json.loads(line))
        except ValueError:
            raise DataError(
                f"{path}:{number}: not a finished unit of work; delete this line to redo it"
            ) from None
    return entries
