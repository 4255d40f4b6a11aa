"""A tokenizer for small models: a listed word is one token, any other word is spelled in bytes.

Instructions then cost one token a word, while the letters of the words that they speak about stay
reachable. It is a byte-level BPE whose only merges join a space with the letter after it; with
``ignore_merges`` the tokenizers library looks a whole pre-token up before it merges. Lossless on
any text.
"""

from collections.abc import Iterable
from typing import Any

PAD, BOS, EOS, MASK = "<pad>", "<bos>", "<eos>", "<mask>"
_SPACE = "Ġ"  # byte-level BPE's letter for a space
# A word with the space before it, or one digit or mark with the space before it, or white space.
_PIECES = r" ?[A-Za-z]+| ?[^\sA-Za-z]|\s"


def build_tokenizer(words: Iterable[str]) -> Any:
    """Build the tokenizer over ``words``, each with and without a leading space.

    Args:
        words: ASCII words that become whole tokens; order does not matter.

    Returns:
        a ``PreTrainedTokenizerFast`` with <pad>, <bos>, <eos> and <mask>.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    marks = [chr(c) for c in range(33, 127)]
    merges = [(_SPACE, mark) for mark in marks]
    whole = sorted({w for w in words if len(w) > 1})
    pieces = [
        *(PAD, BOS, EOS, MASK),
        *alphabet,
        *(_SPACE + mark for mark in marks),
        *whole,
        *(_SPACE + word for word in whole),
    ]
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        mask_token=MASK,
        clean_up_tokenization_spaces=False,
    )
