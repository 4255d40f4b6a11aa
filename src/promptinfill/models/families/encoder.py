"""Encoders with a masked-LM head: bidirectional as they come, and mask tokens from the start."""

from typing import Any

from torch import Tensor

from promptinfill.models.families import Family, lm_head, register_family


def _modernbert_head(model: Any, hidden: Tensor) -> Tensor:
    logits: Tensor = model.decoder(model.head(hidden))
    return logits


def _bert_head(model: Any, hidden: Tensor) -> Tensor:
    logits: Tensor = model.cls(hidden)
    return logits


def _masked_lm(tokenizer: Any, config: Any) -> dict[str, Any]:
    return {"mask_token": tokenizer.mask_token, "eos_padding": False}


def _behind_padding(config: Any) -> int:
    """RoBERTa numbers positions from the padding's id on (fairseq's habit)."""
    return int(config.pad_token_id) + 1


_MASKED_LM = "AutoModelForMaskedLM"
register_family(
    Family("ModernBERT", ("modernbert",), _MASKED_LM, _modernbert_head, False, _masked_lm)
)
register_family(Family("BERT", ("bert",), _MASKED_LM, _bert_head, False, _masked_lm))
register_family(
    Family(
        "RoBERTa",
        ("roberta", "xlm-roberta"),
        _MASKED_LM,
        lm_head,
        False,
        _masked_lm,
        first_position=_behind_padding,
    )
)
