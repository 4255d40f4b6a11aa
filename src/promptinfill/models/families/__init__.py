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
    """

    name: str
    model_types: tuple[str, ...]
    auto_class: str
    head: Callable[[Any, Tensor], Tensor]
    causal_by_default: bool


_FAMILIES: dict[str, Family] = {}


def register_family(family: Family) -> None:
    """Make ``family`` known under each of its model types."""
    for model_type in family.model_types:
        _FAMILIES[model_type] = family


def family_for(model_type: str, where: str) -> Family:
    """The family that opens ``model_type``; ModelError lists the known ones."""
    from promptinfill.models.families import decoder, encoder  # noqa: F401  (they register)

    if model_type not in _FAMILIES:
        raise ModelError(
            f"{where}: model_type {model_type!r} is not a known masked diffusion LM; known: "
            f"{', '.join(sorted(_FAMILIES))}. To add one, call "
            "promptinfill.models.families.register_family with a Family for it."
        )
    return _FAMILIES[model_type]
