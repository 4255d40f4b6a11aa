"""How a checkpoint diffuses: the small JSON that lies beside the weights.

Weights and architecture belong to transformers; what transformers has no place for (which token
masks, whether the logits are shifted, what was masked in training) is kept here.
"""

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from promptinfill.errors import ModelError

FILE_NAME = "diffusion_config.json"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Conventions:
    """The diffusion conventions of one checkpoint.

    Attributes:
        mask_token: text of the token that the forward process puts in place of a masked token.
        logits_shift: 0 when the logits at position p predict token p; 1 when they predict token
            p + 1 (Dream, and decoders adapted with their next-token head).
        schedule: name of the noise schedule trained with (see ``diffusion.schedules``).
        policy: the masking policy trained with, as written in the recipe; None when unknown.
        bos: whether a sequence starts with the tokenizer's BOS (or CLS) token.
        eos_padding: whether responses were padded with trained EOS tokens, so that a response
            canvas may be longer than the answer.
        suppressed_tokens: tokens that never come out of sampling, besides the tokenizer's specials.
        end_tokens: tokens that end an answer, besides EOS: a chat model's end of turn.
    """

    mask_token: str
    logits_shift: int = 0
    schedule: str = "linear"
    policy: Any = None
    bos: bool = True
    eos_padding: bool = True
    suppressed_tokens: tuple[str, ...] = ()
    end_tokens: tuple[str, ...] = ()
    format_version: int = field(default=FORMAT_VERSION)

    def __post_init__(self) -> None:
        for name in ("mask_token", "schedule"):
            if not isinstance(getattr(self, name), str):
                raise ModelError(f"{FILE_NAME}: {name} must be text, not {getattr(self, name)!r}")
        for name in ("bos", "eos_padding"):
            if not isinstance(getattr(self, name), bool):
                raise ModelError(
                    f"{FILE_NAME}: {name} must be true or false, not {getattr(self, name)!r}"
                )
        if self.logits_shift not in (0, 1):
            raise ModelError(f"{FILE_NAME}: logits_shift must be 0 or 1, not {self.logits_shift!r}")

    @classmethod
    def read(cls, path: Path) -> "Conventions":
        """Read ``diffusion_config.json``; ModelError names the file and the bad key."""
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise ModelError(f"{path}:{error.lineno}: not valid JSON ({error.msg})") from None
        except UnicodeDecodeError:
            raise ModelError(f"{path}: not UTF-8 text") from None
        known = {f.name for f in fields(cls)}
        if not isinstance(values, dict) or "mask_token" not in values:
            raise ModelError(f"{path}: must be a JSON object with at least 'mask_token'")
        if unknown := sorted(set(values) - known):
            raise ModelError(f"{path}: unknown key {unknown[0]!r}; known keys: {sorted(known)}")
        version = values.get("format_version", FORMAT_VERSION)
        if not isinstance(version, int):
            raise ModelError(f"{path}: format_version must be a number, not {version!r}")
        if version > FORMAT_VERSION:
            raise ModelError(
                f"{path}: written by a newer promptinfill "
                f"(format_version {version}); upgrade promptinfill to open it"
            )
        for name in ("suppressed_tokens", "end_tokens"):
            tokens = values.get(name, [])
            if not isinstance(tokens, list) or not all(isinstance(t, str) for t in tokens):
                raise ModelError(f"{path}: {name} must be a list of texts")
            values[name] = tuple(tokens)
        try:
            return cls(**values)
        except ModelError as error:
            raise ModelError(f"{path.parent}/{error}") from None

    def write(self, path: Path) -> None:
        """Write the JSON file, keys in declaration order."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
