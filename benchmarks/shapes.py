"""Random checkpoints of a given shape, and canvases for them. Speed does not read the weights."""

from functools import lru_cache
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from promptinfill.data.encoding import PROMPT, EncodedSequence
from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.models.conventions import Conventions

SPECIALS = ("[PAD]", "[BOS]", "[EOS]", "[MASK]")
LAYERS, WIDTH, INNER, HEADS = 8, 384, 1024, 6  # 14M parameters of layers, and 11.7M of 30522 words


@lru_cache(maxsize=2)
def encoder(
    vocabulary: int, layers: int = LAYERS, width: int = WIDTH, inner: int = INNER
) -> MaskedDiffusionLM:
    """A ModernBERT-shaped dLM with seeded random weights; 26M parameters at 30522 words.

    The weights spread far enough that confidences differ and greedy tokens are well separated.
    """
    words = [*SPECIALS, *(f"w{i}" for i in range(vocabulary - len(SPECIALS)))]
    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[PAD]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        bos_token="[BOS]",
        eos_token="[EOS]",
        mask_token="[MASK]",
    )
    config = transformers.AutoConfig.for_model(
        "modernbert",
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        layer_types=["full_attention"] * layers,
        max_position_embeddings=2176,
        initializer_range=0.05,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        cls_token_id=1,
        sep_token_id=2,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    model = transformers.AutoModelForMaskedLM.from_config(config)
    return MaskedDiffusionLM(
        model, tokenizer, Conventions(mask_token="[MASK]"), name=f"random encoder, {vocabulary}"
    ).eval()


def canvases(
    dlm: MaskedDiffusionLM, count: int, context: int, hole: int, *, shared: bool, seed: int = 0
) -> list[EncodedSequence]:
    """``count`` canvases of ``context`` tokens with one hole of ``hole`` near the front.

    Args:
        shared: all have the same context, as candidates over one few-shot subset; else each its
            own, as candidates over different subsets.
    """
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for i in range(count):
        if i == 0 or not shared:
            drawn = torch.randint(
                len(SPECIALS), dlm.vocab_size, (context,), generator=generator
            ).tolist()
        row = EncodedSequence()
        for position, token in enumerate(drawn):
            slot = position - 1 if 1 <= position <= hole else -1
            row.append(dlm.mask_token_id if slot >= 0 else token, PROMPT, slot=slot)
        rows.append(row)
    return rows


def trunk_flops(dlm: MaskedDiffusionLM, rows: int, length: int) -> float:
    """Floating-point operations of the layers' matrix products in one forward, head left out."""
    config: Any = dlm.model.config
    weights = sum(
        parameter.numel()
        for name, parameter in dlm.model.base_model.named_parameters()
        if parameter.ndim == 2 and "embeddings" not in name
    )
    attention = 4 * length * config.hidden_size * config.num_hidden_layers
    return rows * length * (2 * weights + attention)


def head_flops(dlm: MaskedDiffusionLM, positions: int) -> float:
    """Floating-point operations of the output layers for so many positions."""
    width = dlm.model.config.hidden_size
    return 2.0 * positions * (width * width + width * dlm.vocab_size)
