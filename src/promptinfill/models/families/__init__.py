"""What differs between model families: where the trunk ends and how logits come out of it.

A family is one small file that registers itself by ``config.model_type``. Everything else about a
checkpoint is stock transformers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from promptinfill.errors import ModelError


@dataclass(frozen=True)
class Family:
    """One kind of checkpoint.

    Attributes:
        name: the family's name, for messages.
        model_types: the ``config.model_type`` values that it opens.
        auto_class: name of the transformers auto class that loads it.
        head: maps (model, hidden states (M, D)) to logits (M, V).
        causal_by_default: True for decoders, which attend causally until
            ``config.is_causal = False`` turns them bidirectional.
        conventions: (tokenizer, config) -> the fields of ``Conventions`` for a checkpoint without
            ``diffusion_config.json``; None when such a checkpoint is no masked diffusion LM.
        tokenizer_class: name of the transformers class that reads the family's tokenizer files,
            where the checkpoint names a class of its own.
        prepare: called once before the first config of the family is read (registers config and
            model classes with transformers).
        check: raises ModelError for a config that the classes cannot represent.
        first_position: config -> the position id of a sequence's first token.
        needs_no_code: the checkpoint's own code is never run, whatever ``trust_remote_code`` says.
    """

    name: str
    model_types: tuple[str, ...]
    auto_class: str
    head: Callable[[Any, Tensor], Tensor]
    causal_by_default: bool
    conventions: Callable[[Any, Any], dict[str, Any]] | None = None
    tokenizer_class: str | None = None
    prepare: Callable[[], None] | None = None
    check: Callable[[str, dict[str, Any]], None] | None = None
    first_position: Callable[[Any], int] = lambda config: 0
    needs_no_code: bool = False


_FAMILIES: dict[str, Family] = {}

_BLOCK_CAUSAL = (
    "it is trained block-causally: a hole cannot see the blocks after it, so the examples and "
    "their answers would not reach it; use a model with full bidirectional attention"
)
_UNSUITABLE = {
    "llada2_moe": _BLOCK_CAUSAL,
    "llada2": _BLOCK_CAUSAL,
    "sdar": _BLOCK_CAUSAL,
    "sdar_moe": _BLOCK_CAUSAL,
}


def register_family(family: Family) -> None:
    """Make ``family`` known under each of its model types."""
    for model_type in family.model_types:
        _FAMILIES[model_type] = family


def family_for(model_type: str, where: str) -> Family:
    """The family that opens ``model_type``; ModelError lists the known ones, or says why not."""
    from promptinfill.models.families import (  # noqa: F401  (they register)
        decoder,
        dream,
        encoder,
        llada,
    )

    if model_type in _UNSUITABLE and model_type not in _FAMILIES:
        raise ModelError(
            f"{where}: {model_type} does not suit infilling: {_UNSUITABLE[model_type]}"
        )
    if model_type not in _FAMILIES:
        raise ModelError(
            f"{where}: model_type {model_type!r} is not a known masked diffusion LM; known: "
            f"{', '.join(sorted(_FAMILIES))}. To add one, call "
            "promptinfill.models.families.register_family with a Family for it."
        )
    family = _FAMILIES[model_type]
    if family.prepare is not None:
        family.prepare()
    return family


def lm_head(model: Any, hidden: Tensor) -> Tensor:
    """Logits of a decoder: its output layer is ``lm_head``."""
    logits: Tensor = model.lm_head(hidden)
    return logits
