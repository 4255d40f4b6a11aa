"""Causal decoders made bidirectional by ``config.is_causal = False``.

As they come they are no masked diffusion LMs: ``models.adapt`` gives one a mask token, finetuning
does the rest. SmolLM and SmolLM2 are Llamas.
"""

from promptinfill.models.families import Family, lm_head, register_family

register_family(
    Family(
        "decoder",
        ("llama", "qwen2", "qwen3", "smollm3"),
        "AutoModelForCausalLM",
        lm_head,
        causal_by_default=True,
    )
)
