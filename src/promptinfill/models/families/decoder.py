"""Causal decoders made bidirectional by ``config.is_causal = False``: Llama, Qwen2, Qwen3."""

from typing import Any

from torch import Tensor

from promptinfill.models.families import Family, register_family


def _lm_head(model: Any, hidden: Tensor) -> Tensor:
    logits: Tensor = model.lm_head(hidden)
    return logits


register_family(
    Family("decoder", ("llama", "qwen2", "qwen3"), "AutoModelForCausalLM", _lm_head, True)
)
