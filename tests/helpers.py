"""Tiny random checkpoints and tokenizers of three kinds, for the tests of many modules."""

import copy
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    PreTrainedTokenizerFast,
)

from promptinfill.data.encoding import EncodedSequence
from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.models.conventions import Conventions
from promptinfill.models.tokenizer import BOS, EOS, MASK, PAD, build_tokenizer

WORDS = ["Write", "write", "the", "first", "letter", "of", "this", "word", "list", "sort"]
WORDS += ["Input", "Output", "input", "output"]
FAMILIES = ("modernbert", "bert", "llama", "qwen2", "qwen3")
DECODERS = ("llama", "qwen2", "qwen3")

_SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,  # random, yet far from indifferent to its input
}
_OWN: dict[str, dict[str, Any]] = {
    "modernbert": {
        "layer_types": ["sliding_attention", "full_attention"],
        "local_attention": 8,  # four tokens to either side
        "cls_token_id": None,
        "sep_token_id": None,
    },
    "bert": {},
    "llama": {"num_key_value_heads": 1},
    "qwen2": {"num_key_value_heads": 1, "tie_word_embeddings": True},
    "qwen3": {"num_key_value_heads": 1, "head_dim": 16, "tie_word_embeddings": False},
}

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}{{ eos_token }}\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def word_tokenizer() -> Any:
    """The word-and-character tokenizer over :data:`WORDS`."""
    return build_tokenizer(WORDS)


def wordpiece_tokenizer() -> Any:
    """An uncased BERT tokenizer: WordPiece, no token for a space, a normaliser that drops marks."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,:!?'()[]{}<>-_|"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]
    pieces += [f"##{c}" for c in letters] + [w.lower() for w in WORDS] + ["##ing", "##er", "##st"]
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    specials = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    return _fast(tokenizer, {f"{role}_token": text for role, text in specials.items()})


@lru_cache(maxsize=1)
def _trained_bpe() -> str:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=[PAD, BOS, EOS, MASK],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    text = "Write the first letter of this word. Output: the letter. Naïve café, Input: a list."
    tokenizer.train_from_iterator([text] * 20, trainer)
    serialised: str = tokenizer.to_str()
    return serialised


def bpe_tokenizer() -> Any:
    """A byte-level BPE as GPT's: a word's token takes the space before it along."""
    specials = {"pad_token": PAD, "bos_token": BOS, "eos_token": EOS, "mask_token": MASK}
    return _fast(Tokenizer.from_str(_trained_bpe()), specials)


TOKENIZERS = {"words": word_tokenizer, "wordpiece": wordpiece_tokenizer, "bpe": bpe_tokenizer}


def _fast(tokenizer: Tokenizer, specials: dict[str, str]) -> Any:
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **specials
    )


def tiny_model(family: str, tokenizer: Any, seed: int = 0, **changes: Any) -> Any:
    """A random transformers model of ``family`` for ``tokenizer``; decoders bidirectional."""
    arguments = {
        **_SIZES,
        **_OWN[family],
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        **changes,
    }
    config = AutoConfig.for_model(family, **arguments)
    if family in DECODERS:
        config.is_causal = False
    torch.manual_seed(seed)
    auto = AutoModelForCausalLM if family in DECODERS else AutoModelForMaskedLM
    return auto.from_config(config)


def tiny_dlm(
    family: str = "llama",
    tokenizer: Any = None,
    *,
    seed: int = 0,
    conventions: dict[str, Any] | None = None,
    **changes: Any,
) -> MaskedDiffusionLM:
    """A random masked diffusion LM; ``changes`` go to the config."""
    tokenizer = tokenizer or word_tokenizer()
    model = tiny_model(family, tokenizer, seed, **changes)
    rules = Conventions(mask_token=tokenizer.mask_token, **(conventions or {}))
    return MaskedDiffusionLM(model, tokenizer, rules, name=f"tiny {family}").eval()


def save_dlm(folder: Path, family: str = "llama", **how: Any) -> Path:
    """:func:`tiny_dlm`, saved."""
    tiny_dlm(family, **how).save_pretrained(folder)
    return folder


def weights(dlm: MaskedDiffusionLM) -> dict[str, torch.Tensor]:
    """The state dict, copied."""
    return copy.deepcopy(dlm.model.state_dict())


def covered(dlm: MaskedDiffusionLM, sequence: EncodedSequence, region: int) -> str:
    """Text of the tokens in ``region``, spelled by the tokenizer; control and EOS left out."""
    chosen = [t for t, r in zip(sequence.ids, sequence.region, strict=True) if r == region]
    special = set(dlm.tokenizer.all_special_ids)
    text: str = dlm.tokenizer.decode([t for t in chosen if t not in special])
    return text


def write_jsonl(path: Path, records: list[dict[str, Any]]) -> str:
    """One record a line; the path as text, as recipes want it."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)
