"""Recipes over a tiny random model and a handful of records."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from helpers import save_dlm, write_jsonl

WORD_LIST = ["apple", "bread", "chair", "dog", "egg", "fish", "goat", "hat", "ink", "jar"]
Deep = dict[str, Any]


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def merged(base: Deep, changes: Deep) -> Deep:
    """``base`` with the leaves of ``changes`` in place of its own."""
    out = dict(base)
    for key, value in changes.items():
        inner = out.get(key)
        both = isinstance(value, dict) and isinstance(inner, dict)
        out[key] = merged(inner, value) if both else value
    return out


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a random Llama with the word tokenizer."""
    folder = tmp_path_factory.mktemp("start") / "llama"
    return str(save_dlm(folder, "llama", initializer_range=0.1))


@pytest.fixture
def values(tmp_path: Path, start: str) -> Deep:
    """The recipe's values: 12 steps of batches of 4 over ten prompts and responses."""
    records = [{"prompt": f"Write the first letter of {w}", "response": w[0]} for w in WORD_LIST]
    source = {"files": [write_jsonl(tmp_path / "train.jsonl", records)]}
    arguments = {"logging_steps": 4, "eval_steps": 4, "save_steps": 4}
    return {
        "model": {"start": start},
        "data": {"train": source, "validation": source, "max_length": 64},
        "training": {
            "steps": 12,
            "batch_size": 4,
            "learning_rate": 3e-3,
            "warmup_steps": 0,
            "arguments": arguments,
        },
    }


@pytest.fixture
def recipe_file(values: Deep, tmp_path: Path) -> Callable[..., Path]:
    """Write :func:`values`, changed, as a YAML file."""

    def write(**changes: Any) -> Path:
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(merged(values, changes)))
        return path

    return write
