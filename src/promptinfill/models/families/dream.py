"""Dream-7B (base, instruct, coder; arXiv 2508.15487): a bidirectional Qwen2 with shifted logits.

Adapted from a next-token model, Dream reads the prediction for position p at p - 1.
"""

import functools
from typing import Any

from promptinfill.models.families import Family, lm_head, register_family

MASK, TURN_END = "<|mask|>", "<|im_end|>"
CODE = "Dream-org/Dream-v0-Base-7B"  # the repository whose code opens a saved checkpoint


@functools.cache
def _prepare() -> None:
    """Register Dream's config and model with transformers."""
    from huggingface_hub.dataclasses import strict
    from transformers import AutoConfig, AutoModelForCausalLM, Qwen2Config, Qwen2ForCausalLM

    @strict
    class DreamConfig(Qwen2Config):  # type: ignore[no-untyped-call]
        """A Qwen2's config."""

        model_type = "Dream"

        def to_dict(self) -> dict[str, Any]:
            """With what Dream's own code reads, and transformers 5 keeps elsewhere."""
            values: dict[str, Any] = super().to_dict()
            values["rope_theta"] = self.rope_parameters["rope_theta"]  # type: ignore[index]
            values["auto_map"] = {
                "AutoConfig": f"{CODE}--configuration_dream.DreamConfig",
                "AutoModel": f"{CODE}--modeling_dream.DreamModel",
            }
            return values

    class DreamModel(Qwen2ForCausalLM):  # type: ignore[no-untyped-call]
        config_class = DreamConfig

    AutoConfig.register("Dream", DreamConfig, exist_ok=True)
    AutoModelForCausalLM.register(DreamConfig, DreamModel, exist_ok=True)


def _conventions(tokenizer: Any, config: Any) -> dict[str, Any]:
    number = getattr(config, "mask_token_id", None)
    known = set(tokenizer.get_vocab())
    return {
        "mask_token": MASK if number is None else tokenizer.convert_ids_to_tokens(number),
        "logits_shift": 1,
        "bos": tokenizer.bos_token is not None,
        "eos_padding": True,
        "end_tokens": tuple(token for token in (TURN_END,) if token in known),
    }


register_family(
    Family(
        "Dream",
        ("Dream",),
        "AutoModelForCausalLM",
        lm_head,
        causal_by_default=True,
        conventions=_conventions,
        tokenizer_class="Qwen2Tokenizer",
        prepare=_prepare,
        needs_no_code=True,
    )
)
