"""A tiny random model that writes nonsense words, and the command line run in this process."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import ModernBertConfig, ModernBertForMaskedLM

from promptinfill.cli import main
from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.models.conventions import Conventions
from promptinfill.models.tokenizer import MASK, build_tokenizer

WORDS = ["write", "the", "first", "letter", "of", "this", "word", "list", "give", "sort"]
TEMPLATE = "[MASK:4]\nInput: {input}\nOutput: {output}"
MANUAL = "Write the first letter.\nInput: {input}\nOutput: {output}"


def save_tiny(folder: Path, seed: int, allowed: list[str]) -> Path:
    """A random ModernBERT whose only tokens to come out are ``allowed``, with a leading space."""
    tokenizer = build_tokenizer(WORDS)
    torch.manual_seed(seed)
    config = ModernBertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=2,
        global_attn_every_n_layers=1,
        max_position_embeddings=256,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        cls_token_id=None,
        sep_token_id=None,
        initializer_range=0.5,
    )
    kept = {"Ġ" + word for word in allowed} | set(tokenizer.all_special_tokens)
    others = tuple(token for token in tokenizer.get_vocab() if token not in kept)
    conventions = Conventions(mask_token=MASK, suppressed_tokens=others)
    MaskedDiffusionLM(ModernBertForMaskedLM(config), tokenizer, conventions).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of the model."""
    return str(save_tiny(tmp_path_factory.mktemp("models") / "tiny", 0, WORDS))


@pytest.fixture(scope="session")
def mute(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a model whose fillings are never usable."""
    return str(save_tiny(tmp_path_factory.mktemp("models") / "mute", 1, ["!", "?"]))


@pytest.fixture
def rows(tmp_path: Path) -> str:
    """A file of 20 solved examples."""
    path = tmp_path / "rows.jsonl"
    words = [f"{a}{b}" for a in ("lam", "sto", "cup", "boa") for b in ("p", "t", "d", "ne", "rd")]
    path.write_text("".join(json.dumps({"input": w, "output": w[0]}) + "\n" for w in words))
    return str(path)


@dataclass
class Ran:
    """What one run gave."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as the one JSON object that it must be."""
        assert self.code == 0, self.err
        assert self.out.count("\n") == 1
        return json.loads(self.out)

    @property
    def sentence(self) -> str:
        """Standard error as the one line that it must be, with nothing on standard output."""
        assert self.out == ""
        assert self.err.count("\n") == 1, self.err
        return self.err.strip()


Cli = Callable[..., Ran]


@pytest.fixture
def cli(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> Cli:
    """Run the command line with the given arguments."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))

    def run(*arguments: object) -> Ran:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run
