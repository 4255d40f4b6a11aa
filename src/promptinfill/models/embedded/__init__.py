"""The small checkpoints that ship with the package; see the model card beside this file."""

import json
from pathlib import Path

from promptinfill.errors import ModelError

_FOLDER = Path(__file__).parent


def embedded_names() -> dict[str, str]:
    """Name -> folder of every embedded checkpoint, aliases such as ``best`` included."""
    try:
        text = (_FOLDER / "names.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    names: dict[str, str] = json.loads(text)
    return names


def embedded_folder(name: str) -> Path:
    """Folder of ``embedded:name``; ModelError lists the known names."""
    names = embedded_names()
    if name not in names:
        known = ", ".join(f"embedded:{n}" for n in sorted(names)) or "none in this installation"
        raise ModelError(f"no embedded model {name!r}; known: {known}")
    return _FOLDER / names[name]
