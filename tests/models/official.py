"""Tiny random LLaDA and Dream folders as their authors publish them, and their equations.

Config names, key names and tokenizer files are the released checkpoints'; no code comes with them.
``reference_logits`` reads the files themselves: nothing of transformers or promptinfill is in it.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from helpers import bpe_tokenizer

LLADA_MARKERS = ("<|mdm_mask|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
DREAM_MARKERS = ("<|im_start|>", "<|im_end|>", "<|beginoftext|>", "<|mask|>")
HIDDEN, INNER, LAYERS, HEADS, KV_HEADS, ROWS = 32, 48, 2, 4, 2, 448

LLADA_CHAT = (
    "{% for m in messages %}{% if loop.first %}{{ bos_token }}{% endif %}"
    "<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n{{ m['content'] | trim }}<|eot_id|>"
    "{% endfor %}<|start_header_id|>assistant<|end_header_id|>\n\n"
)


def _bpe() -> dict[str, Any]:
    model: dict[str, Any] = json.loads(bpe_tokenizer().backend_tokenizer.to_str())["model"]
    return model


def _random(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator) * 0.3


def _layer(names: dict[str, str], generator: torch.Generator) -> dict[str, Tensor]:
    wide = HIDDEN * KV_HEADS // HEADS
    shapes = {
        "norm1": (HIDDEN,),
        "norm2": (HIDDEN,),
        "q": (HIDDEN, HIDDEN),
        "k": (wide, HIDDEN),
        "v": (wide, HIDDEN),
        "o": (HIDDEN, HIDDEN),
        "gate": (INNER, HIDDEN),
        "up": (INNER, HIDDEN),
        "down": (HIDDEN, INNER),
    }
    return {names[part] + ".weight": _random(shape, generator) for part, shape in shapes.items()}


LLADA_NAMES = {
    "layer": "model.transformer.blocks.{}.",
    "embed": "model.transformer.wte",
    "final": "model.transformer.ln_f",
    "head": "model.transformer.ff_out",
    "norm1": "attn_norm",
    "norm2": "ff_norm",
    "q": "q_proj",
    "k": "k_proj",
    "v": "v_proj",
    "o": "attn_out",
    "gate": "ff_proj",
    "up": "up_proj",
    "down": "ff_out",
}
DREAM_NAMES = {
    "layer": "model.layers.{}.",
    "embed": "model.embed_tokens",
    "final": "model.norm",
    "head": "lm_head",
    "norm1": "input_layernorm",
    "norm2": "post_attention_layernorm",
    **{part: f"self_attn.{part}_proj" for part in "qkvo"},
    **{part: f"mlp.{part}_proj" for part in ("gate", "up", "down")},
}


def _weights(names: dict[str, str], *, biases: bool) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(7)
    found = {
        names["embed"] + ".weight": _random((ROWS, HIDDEN), generator),
        names["final"] + ".weight": _random((HIDDEN,), generator),
        names["head"] + ".weight": _random((ROWS, HIDDEN), generator),
    }
    for i in range(LAYERS):
        prefix = names["layer"].format(i)
        layer = _layer(names, generator)
        if biases:
            for part in "qkv":
                rows = layer[names[part] + ".weight"].shape[0]
                layer[names[part] + ".bias"] = _random((rows,), generator)
        found |= {prefix + name: value for name, value in layer.items()}
    return found


def save_llada(folder: Path, **changes: Any) -> Path:
    """A LLaDA-8B in small: its config's keys, its weights' keys, its tokenizer's habits."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = bpe_tokenizer()
    eos = "<eos>"
    tokenizer.add_special_tokens({"additional_special_tokens": list(LLADA_MARKERS)})
    tokenizer.mask_token, tokenizer.pad_token = None, eos
    tokenizer.chat_template = LLADA_CHAT
    tokenizer.save_pretrained(folder)
    ids = tokenizer.get_vocab()
    config = {
        "activation_type": "silu",
        "alibi": False,
        "architectures": ["LLaDAModelLM"],
        "auto_map": {
            "AutoConfig": "configuration_llada.LLaDAConfig",
            "AutoModel": "modeling_llada.LLaDAModelLM",
        },
        "attention_layer_norm": False,
        "block_type": "llama",
        "d_model": HIDDEN,
        "embedding_size": ROWS,
        "eos_token_id": ids[eos],
        "include_bias": False,
        "include_qkv_bias": False,
        "input_emb_norm": False,
        "layer_norm_type": "rms",
        "mask_token_id": ids["<|mdm_mask|>"],
        "max_sequence_length": 256,
        "mlp_hidden_size": INNER,
        "mlp_ratio": 4,
        "model_type": "llada",
        "n_heads": HEADS,
        "n_kv_heads": KV_HEADS,
        "n_layers": LAYERS,
        "pad_token_id": ids[eos],
        "rms_norm_eps": 1e-5,
        "rope": True,
        "rope_theta": 500000.0,
        "scale_logits": False,
        "use_cache": False,
        "vocab_size": ROWS,
        "weight_tying": False,
    }
    (folder / "config.json").write_text(json.dumps(config | changes))
    weights = _weights(LLADA_NAMES, biases=False)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def save_dream(folder: Path, **changes: Any) -> Path:
    """A Dream-7B in small: Qwen2's keys, and a tokenizer that names a class of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    model = _bpe()
    vocabulary = dict(model["vocab"])
    taken = set(vocabulary.values())  # the other tokenizer's specials are not among them
    vocabulary |= {f"unused{i}": i for i in range(max(taken)) if i not in taken}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    added = ("<|endoftext|>", *DREAM_MARKERS)
    ids = {token: len(vocabulary) + i for i, token in enumerate(added)}
    (folder / "added_tokens.json").write_text(json.dumps(ids))
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    tokenizer_config = {
        "added_tokens_decoder": {
            str(i): {"content": token, "special": True, **flags} for token, i in ids.items()
        },
        "auto_map": {"AutoTokenizer": ["tokenization_dream.DreamTokenizer", None]},
        "bos_token": "<|beginoftext|>",
        "eos_token": "<|endoftext|>",
        "mask_token": "<|mask|>",
        "pad_token": "<|endoftext|>",
        "tokenizer_class": "DreamTokenizer",
        "unk_token": None,
        "errors": "replace",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config))
    config = {
        "architectures": ["DreamModel"],
        "auto_map": {
            "AutoConfig": "configuration_dream.DreamConfig",
            "AutoModel": "modeling_dream.DreamModel",
        },
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|endoftext|>"],
        "hidden_act": "silu",
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "mask_token_id": ids["<|mask|>"],
        "max_position_embeddings": 256,
        "max_window_layers": LAYERS,
        "model_type": "Dream",
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "num_key_value_heads": KV_HEADS,
        "pad_token_id": ids["<|endoftext|>"],
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
        "sliding_window": None,
        "tie_word_embeddings": False,
        "use_sliding_window": False,
        "vocab_size": ROWS,
    }
    (folder / "config.json").write_text(json.dumps(config | changes))
    weights = _weights(DREAM_NAMES, biases=True)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


SAVE = {"llada": save_llada, "dream": save_dream}


def reference_logits(folder: Path, ids: Tensor, *, causal: bool = False) -> Tensor:
    """(L, ROWS) float64 next to the published equations, for one sequence (L,) without padding.

    RMS norm (Zhang & Sennrich 2019) before attention and before the gated SwiGLU layer (Shazeer
    2020), rotary positions on the two halves of a head (Su et al. 2021), grouped keys (Ainslie et
    al. 2023), softmax over the whole sequence. Row p is the layer's own output at p: unshifted.
    """
    config = json.loads((folder / "config.json").read_text())
    names = LLADA_NAMES if config["model_type"] == "llada" else DREAM_NAMES
    weights = {k: v.double() for k, v in load_file(folder / "model.safetensors").items()}
    epsilon, theta = config["rms_norm_eps"], config["rope_theta"]
    length, width = len(ids), HIDDEN // HEADS
    rates = theta ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angle = torch.arange(length, dtype=torch.float64)[:, None] * rates

    def norm(x: Tensor, name: str) -> Tensor:
        return x / (x.square().mean(-1, keepdim=True) + epsilon).sqrt() * weights[name + ".weight"]

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ weights[name + ".weight"].T + weights.get(name + ".bias", torch.tensor(0.0))

    def rotate(x: Tensor) -> Tensor:  # (L, heads, width)
        first, second = x[..., : width // 2], x[..., width // 2 :]
        cos, sin = angle.cos()[:, None], angle.sin()[:, None]
        return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)

    x = weights[names["embed"] + ".weight"][ids]
    for i in range(LAYERS):
        name = {part: names["layer"].format(i) + text for part, text in names.items()}
        y = norm(x, name["norm1"])
        q = rotate(linear(y, name["q"]).view(length, HEADS, width))
        k = rotate(linear(y, name["k"]).view(length, KV_HEADS, width))
        v = linear(y, name["v"]).view(length, KV_HEADS, width)
        k, v = (t.repeat_interleave(HEADS // KV_HEADS, dim=1) for t in (k, v))
        scores = torch.einsum("qhd,khd->hqk", q, k) / width**0.5
        if causal:
            scores = scores.masked_fill(torch.ones(length, length).triu(1).bool(), -torch.inf)
        mixed = torch.einsum("hqk,khd->qhd", scores.softmax(-1), v).reshape(length, HIDDEN)
        x = x + linear(mixed, name["o"])
        y = norm(x, name["norm2"])
        gate = linear(y, name["gate"])
        x = x + linear(gate * gate.sigmoid() * linear(y, name["up"]), name["down"])
    return linear(norm(x, names["final"]), names["head"])
