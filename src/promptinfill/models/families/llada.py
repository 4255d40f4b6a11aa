"""LLaDA (8B, 1.5; base and instruct; arXiv 2502.09992): a bidirectional Llama under other names.

The checkpoint's config and weights are read, and written back, under LLaDA's own names, so its own
code opens what is saved here. None of that code is needed: the equations are a Llama's.
"""

import functools
from typing import Any

from promptinfill.errors import ModelError
from promptinfill.models.families import Family, lm_head, register_family

MASK, TURN_END = "<|mdm_mask|>", "<|eot_id|>"
CODE = "GSAI-ML/LLaDA-8B-Base"  # the repository whose code opens a saved checkpoint

_OUTSIDE = {"wte": "model.embed_tokens", "ln_f": "model.norm", "ff_out": "lm_head"}
_IN_BLOCK = {
    "attn_norm": "input_layernorm",
    "ff_norm": "post_attention_layernorm",
    "q_proj": "self_attn.q_proj",
    "k_proj": "self_attn.k_proj",
    "v_proj": "self_attn.v_proj",
    "attn_out": "self_attn.o_proj",
    "ff_proj": "mlp.gate_proj",
    "up_proj": "mlp.up_proj",
    "ff_out": "mlp.down_proj",
}
# What a Llama cannot say. The released checkpoints have all of these.
_REQUIRED: dict[str, tuple[Any, ...]] = {
    "block_type": ("llama",),
    "layer_norm_type": ("rms",),
    "activation_type": ("silu", "swiglu"),
    "rope": (True,),
    "alibi": (False,),
    "include_bias": (False, None),
    "include_qkv_bias": (False, None),
    "bias_for_layer_norm": (False, None),
    "attention_layer_norm": (False,),
    "input_emb_norm": (False,),
    "scale_logits": (False,),
    "clip_qkv": (None,),
}


@functools.cache
def _prepare() -> None:
    """Register LLaDA's config, model and key names with transformers."""
    from huggingface_hub.dataclasses import strict
    from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
    from transformers.conversion_mapping import register_checkpoint_conversion_mapping
    from transformers.core_model_loading import WeightRenaming

    @strict
    class LLaDAConfig(LlamaConfig):  # type: ignore[no-untyped-call]
        """A Llama's config under LLaDA's names."""

        model_type = "llada"
        attribute_map = {  # noqa: RUF012  (transformers' form)
            "hidden_size": "d_model",
            "num_hidden_layers": "n_layers",
            "num_attention_heads": "n_heads",
            "num_key_value_heads": "n_kv_heads",
            "intermediate_size": "mlp_hidden_size",
            "max_position_embeddings": "max_sequence_length",
            "tie_word_embeddings": "weight_tying",
        }
        d_model: int = 4096
        n_layers: int = 32
        n_heads: int = 32
        n_kv_heads: int | None = None
        mlp_hidden_size: int | None = None
        mlp_ratio: int = 4
        max_sequence_length: int = 4096
        weight_tying: bool = False
        embedding_size: int | None = None
        use_cache: bool = False

        def __post_init__(self, **kwargs: Any) -> None:
            if self.mlp_hidden_size is None:
                self.mlp_hidden_size = self.mlp_ratio * self.d_model
            if self.embedding_size is not None:  # rows of the weights; a few may have no token
                self.vocab_size = self.embedding_size
            super().__post_init__(**kwargs)  # type: ignore[no-untyped-call]

        def to_dict(self) -> dict[str, Any]:
            """With what LLaDA's own code reads, and transformers 5 keeps elsewhere."""
            values: dict[str, Any] = super().to_dict()
            values["rope_theta"] = self.rope_parameters["rope_theta"]  # type: ignore[index]
            values["auto_map"] = {
                "AutoConfig": f"{CODE}--configuration_llada.LLaDAConfig",
                "AutoModel": f"{CODE}--modeling_llada.LLaDAModelLM",
                "AutoModelForCausalLM": f"{CODE}--modeling_llada.LLaDAModelLM",
            }
            return values

    class LLaDAModelLM(LlamaForCausalLM):  # type: ignore[no-untyped-call]
        config_class = LLaDAConfig

    AutoConfig.register("llada", LLaDAConfig, exist_ok=True)
    AutoModelForCausalLM.register(LLaDAConfig, LLaDAModelLM, exist_ok=True)
    root, block = r"model\.transformer\.", r"model\.transformer\.blocks\.(\d+)\."
    renamings: list[Any] = [WeightRenaming(rf"^{root}{a}\.", f"{b}.") for a, b in _OUTSIDE.items()]
    renamings += [
        WeightRenaming(rf"^{block}{a}\.", rf"model.layers.\1.{b}.") for a, b in _IN_BLOCK.items()
    ]
    register_checkpoint_conversion_mapping("llada", renamings, overwrite=True)


def _check(where: str, config: dict[str, Any]) -> None:
    for name, allowed in _REQUIRED.items():
        if name in config and config[name] not in allowed:
            raise ModelError(
                f"{where}: a LLaDA with {name} = {config[name]!r} is not a Llama by other names; "
                f"only {allowed[0]!r} is opened"
            )


def _conventions(tokenizer: Any, config: Any) -> dict[str, Any]:
    number = getattr(config, "mask_token_id", None)
    known = set(tokenizer.get_vocab())
    return {
        "mask_token": MASK if number is None else tokenizer.convert_ids_to_tokens(number),
        "bos": tokenizer.bos_token is not None,
        "eos_padding": True,
        "end_tokens": tuple(token for token in (TURN_END,) if token in known),
    }


register_family(
    Family(
        "LLaDA",
        ("llada",),
        "AutoModelForCausalLM",
        lm_head,
        causal_by_default=True,
        conventions=_conventions,
        prepare=_prepare,
        check=_check,
        needs_no_code=True,
    )
)
