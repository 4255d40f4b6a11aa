"""The word-and-character tokenizer: words cost one token, every letter is reachable, no loss."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import TOKENIZERS, WORDS, tiny_dlm, word_tokenizer
from promptinfill.data.encoding import decode, encode_segments
from promptinfill.models.tokenizer import BOS, EOS, MASK, PAD, build_tokenizer
from promptinfill.templates import Segment

TOKENIZER = word_tokenizer()
DLM = tiny_dlm("llama", TOKENIZER)
LISTED = st.sampled_from([*WORDS, *(" " + word for word in WORDS), PAD, MASK, EOS])
TEXT = st.lists(st.one_of(st.text(), LISTED), max_size=6).map("".join)


def pieces(text: str) -> list[str]:
    ids = TOKENIZER(text, add_special_tokens=False)["input_ids"]
    return [TOKENIZER.decode([i]) for i in ids]


@given(TEXT)
def test_every_text_comes_back(text: str):
    segment = Segment(text, "field", "x", "prompt", None)
    (sequence,) = encode_segments(DLM, [[segment]], end=False)
    assert decode(DLM, sequence.ids) == text


@pytest.mark.parametrize("word", WORDS)
def test_a_listed_word_is_one_token(word: str):
    assert pieces(word) == [word]
    assert pieces(" " + word) == [" " + word]
    assert pieces(f"{word} {word}, {word}.") == [word, " " + word, ",", " " + word, "."]


def test_other_words_are_spelled_letter_by_letter():
    assert pieces("cat dog") == ["c", "a", "t", " d", "o", "g"]
    assert pieces("letters") == list("letters")  # no half of a listed word
    assert pieces("12 -3") == ["1", "2", " -", "3"]
    assert pieces("a\n\n b") == ["a", "\n", "\n", " b"]


def test_the_order_and_number_of_mentions_do_not_matter():
    again = build_tokenizer([*reversed(WORDS), *WORDS, "a", ""])
    assert again.get_vocab() == TOKENIZER.get_vocab()


def test_specials_are_the_first_four():
    assert [TOKENIZER.convert_ids_to_tokens(i) for i in range(4)] == [PAD, BOS, EOS, MASK]
    assert set(TOKENIZER.all_special_ids) == {0, 1, 2, 3}


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_specials_in_user_text_are_plain_text(kind: str):
    tokenizer = TOKENIZERS[kind]()
    dlm = tiny_dlm("bert", tokenizer, conventions={"bos": False})
    text = "Write " + " ".join(tokenizer.all_special_tokens)
    segments = [Segment(text, "field", "prompt", "prompt", None)]
    segments.append(Segment(tokenizer.mask_token, "field", "response", "response", None))
    (sequence,) = encode_segments(dlm, [segments], end=False)
    assert not set(sequence.ids) & (set(tokenizer.all_special_ids) - {tokenizer.unk_token_id})
    spelled = decode(dlm, sequence.ids).replace(" ", "").lower()
    assert spelled == (text + tokenizer.mask_token).replace(" ", "").lower()
    # and the tokenizer itself is left as it was: elsewhere a special is a special
    (only,) = tokenizer(tokenizer.mask_token, add_special_tokens=False)["input_ids"]
    assert only == tokenizer.mask_token_id
