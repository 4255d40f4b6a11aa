"""Encoders with a masked-LM head: bidirectional as they come."""

from typing import Any

from torch import Tensor

from promptinfill.models.families import Family, register_family


def _modernbert_head(model: Any, hidden: Tensor) -> Tensor:
    logits: Tensor = model.decoder(model.head(hidden))
    return logits


def _bert_head(model: Any, hidden: Tensor) -> Tensor:
    logits: Tensor = model.cls(hidden)
    return logits


register_family(
    Family("ModernBERT", ("modernbert",), "AutoModelForMaskedLM", _modernbert_head, False)
)
register_family(Family("BERT", ("bert",), "AutoModelForMaskedLM", _bert_head, False))
