"""Spans under three kinds of tokenizer: what the tokens of a region cover is that region's text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import CHAT_TEMPLATE, TOKENIZERS, covered, tiny_dlm
from promptinfill.data.chat import chat_segments
from promptinfill.data.encoding import (
    CONTROL,
    PROMPT,
    RESPONSE,
    EncodedSequence,
    decode,
    encode_segments,
)
from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.templates import Segment, Template

DLMS = {
    kind: tiny_dlm("bert" if kind == "wordpiece" else "llama", make())
    for kind, make in TOKENIZERS.items()
}
EXACT = [DLMS["words"], DLMS["bpe"]]  # tokenizers that keep every character
KINDS = pytest.mark.parametrize("kind", DLMS)

WORDLIKE = st.text("abcdefgh ,.!?\n19éß漢🙂", max_size=12) | st.text(max_size=8)
PART = st.tuples(st.sampled_from(["literal", "field"]), WORDLIKE)


def text_segment(text: str, kind: str = "field", region: str = "prompt") -> Segment:
    return Segment(text, kind, None, region, None)  # type: ignore[arg-type]


def encode(dlm: MaskedDiffusionLM, segments: object, end: bool = False) -> EncodedSequence:
    (sequence,) = encode_segments(dlm, [tuple(segments)], end=end)  # type: ignore[arg-type]
    assert len(sequence.region) == len(sequence.is_field) == len(sequence.slot) == len(sequence)
    return sequence


# --- regions ----------------------------------------------------------------------------------


@given(st.lists(PART, max_size=4), WORDLIKE, st.booleans())
def test_regions_cover_their_texts(parts, answer, end):
    prompt = "".join(text for _, text in parts)
    segments = [text_segment(text, kind) for kind, text in parts]
    segments.append(text_segment(answer, region="response"))
    for dlm in EXACT:
        sequence = encode(dlm, segments, end)
        # The spaces before the response are the response's to write.
        kept = prompt.rstrip(" ")
        assert covered(dlm, sequence, PROMPT) == kept
        assert covered(dlm, sequence, RESPONSE) == prompt[len(kept) :] + answer
        assert decode(dlm, sequence.ids) == prompt + answer
        assert sequence.ids[0] == dlm.bos_token_id
        assert sequence.region[0] == CONTROL
        assert sequence.region[1:] == sorted(sequence.region[1:])  # prompt, then response
        if end:
            assert (sequence.ids[-1], sequence.region[-1]) == (dlm.eos_token_id, RESPONSE)
        assert sequence.ids.count(dlm.eos_token_id) == end


ASCII = st.text("abcdefgh ,.!?\n19", max_size=15)


@given(ASCII, ASCII, ASCII)
def test_wordpiece_regions_cover_their_words(before, value, answer):
    """WordPiece has no tokens for spaces, and writes words apart: compare what is left."""
    dlm = DLMS["wordpiece"]
    segments = [text_segment(before, "literal"), text_segment(value)]
    sequence = encode(dlm, [*segments, text_segment(answer, region="response")])

    def bare(text: str) -> str:
        return "".join(text.split())

    assert bare(covered(dlm, sequence, PROMPT)) == bare(before + value)
    assert bare(covered(dlm, sequence, RESPONSE)) == bare(answer)


@given(ASCII, ASCII, ASCII)
def test_a_token_is_a_fields_if_it_holds_one_of_its_characters(before, value, after):
    segments = [text_segment(before, "literal"), text_segment(value)]
    segments += [text_segment(after, "literal"), text_segment("x", region="response")]
    for dlm in EXACT:
        sequence = encode(dlm, segments)
        total = len((before + value + after).rstrip(" "))
        start, stop = min(len(before), total), min(len(before) + len(value), total)
        place = 0
        for token, region, is_field in zip(
            sequence.ids, sequence.region, sequence.is_field, strict=True
        ):
            if region != PROMPT:
                assert not (is_field and region == CONTROL)
                continue
            width = len(decode(dlm, [token]))
            assert is_field == (max(place, start) < min(place + width, stop)), (dlm.name, place)
            place += width
        assert place == total


@KINDS
def test_a_token_never_straddles_prompt_and_response(kind):
    """'letter' would be one token of the whole text; the response is written on its own."""
    dlm = DLMS[kind]
    sequence = encode(dlm, [text_segment("let"), text_segment("ter", region="response")])
    assert covered(dlm, sequence, PROMPT).replace(" ", "") == "let"
    assert covered(dlm, sequence, RESPONSE).replace(" ", "") == "ter"
    assert len(sequence) == 7 if kind == "words" else len(sequence) >= 3


def test_inside_a_region_tokens_are_those_of_the_whole_text():
    """Segments are no token borders: 'Wri' + 'te' is the word 'Write', a field's for its 'te'."""
    dlm = DLMS["words"]
    sequence = encode(dlm, [text_segment("Wri", "literal"), text_segment("te")])
    assert sequence.ids[1:] == [dlm.tokenizer.convert_tokens_to_ids("Write")]
    assert sequence.is_field[1:] == [True]


def test_the_space_before_the_response_belongs_to_its_first_word():
    dlm = DLMS["words"]
    template = Template("Input: {input}\nOutput: {output}", response="output")
    sequence = encode(dlm, template.segments({"input": "word", "output": "list"}), end=True)
    answer = [dlm.tokenizer.convert_tokens_to_ids("Ġlist"), dlm.eos_token_id]
    assert sequence.ids[-2:] == answer
    assert sequence.region[-3:] == [PROMPT, RESPONSE, RESPONSE]
    fields = [i for i, f in zip(sequence.ids, sequence.is_field, strict=True) if f]
    assert fields == [dlm.tokenizer.convert_tokens_to_ids(t) for t in ("Ġword", "Ġlist")]


def test_no_bos_where_the_model_wants_none():
    dlm = tiny_dlm("llama", conventions={"bos": False})
    assert encode(dlm, [text_segment("word")]).ids == [dlm.tokenizer.convert_tokens_to_ids("word")]


def test_sequences_of_a_batch_are_encoded_as_alone():
    dlm = DLMS["words"]
    template = Template("[MASK:2] {input}\n{output}", response="output")
    rows = [template.segments({"input": w, "output": w[0]}) for w in ("word", "cat", "a b")]
    rows.append((text_segment("the list", "literal"),))
    assert encode_segments(dlm, rows, end=True) == [encode(dlm, row, True) for row in rows]


@KINDS
def test_a_tokenizer_file_that_asks_for_truncation_cuts_nothing(kind):
    """tokenizer.json files of the hub often do, and would cut or pad every text in silence."""
    text = "write the first letter of this word " * 9
    dlm = tiny_dlm("bert" if kind == "wordpiece" else "llama", TOKENIZERS[kind]())
    expected = encode(dlm, [text_segment(text)], end=True)
    dlm.tokenizer.backend_tokenizer.enable_truncation(max_length=5)
    dlm.tokenizer.backend_tokenizer.enable_padding(length=300)
    assert encode(dlm, [text_segment(text)], end=True) == expected


# --- holes ------------------------------------------------------------------------------------

PIECE = st.one_of(
    st.tuples(st.just("text"), ASCII.filter(bool)),
    st.tuples(st.just("hole"), st.integers(1, 4)),
    st.tuples(st.just("named"), st.sampled_from(["a", "b"])),
)
NAMED = {"a": 2, "b": 3}


@given(st.lists(PIECE, max_size=6), st.sampled_from(list(DLMS)))
def test_holes_are_exactly_their_mask_tokens(pieces, kind):
    dlm = DLMS[kind]
    source, lengths, slots, names = "", [], [], {}
    for what, value in pieces:
        if what == "text":
            source += value
            continue
        source += f"[MASK:{value}]" if what == "hole" else f"[MASK:{NAMED[value]}:{value}]"
        if what == "named" and value in names:
            slots.append(names[value])
            continue
        length = value if what == "hole" else NAMED[value]
        slots.append(list(range(sum(lengths), sum(lengths) + length)))
        lengths.append(length)
        if what == "named":
            names[value] = slots[-1]
    template = Template(source + "{output}", response="output")
    sequence = encode(dlm, template.segments({"output": "[MASK] <mask>"}), end=True)
    masked = [i for i, token in enumerate(sequence.ids) if token == dlm.mask_token_id]
    assert [sequence.slot[i] for i in masked] == [slot for hole in slots for slot in hole]
    assert [i for i, slot in enumerate(sequence.slot) if slot >= 0] == masked
    assert all(sequence.region[i] == PROMPT and not sequence.is_field[i] for i in masked)


def test_spaces_before_a_hole_are_the_models_to_write():
    dlm = DLMS["words"]
    template = Template("Write   [MASK:1] word\n[MASK:1]")
    sequence = encode(dlm, template.segments({}))
    names = dlm.tokenizer.convert_ids_to_tokens(sequence.ids)
    # The spaces before the first hole are gone, the one after it and the line break stay.
    assert names == ["<bos>", "Write", "<mask>", "Ġword", "Ċ", "<mask>"]


def test_a_filled_hole_is_ordinary_text():
    dlm = DLMS["words"]
    template = Template("Write [MASK:3] word")
    filled = encode(dlm, template.segments({}, ["the first"]))
    assert decode(dlm, filled.ids) == "Write the first word"
    assert set(filled.slot) == {-1}
    assert dlm.mask_token_id not in filled.ids


# --- control text -----------------------------------------------------------------------------


def control(text: str) -> Segment:
    return Segment(text, "control", None, "prompt", None)


def test_only_control_text_may_hold_specials():
    dlm = DLMS["words"]
    eos = dlm.tokenizer.eos_token
    segments = [control(f"<bos>S{eos}"), text_segment(f"a{eos}"), control(eos)]
    sequence = encode(dlm, [*segments, text_segment(eos, region="response")], end=True)
    ends = [i for i, token in enumerate(sequence.ids) if token == dlm.eos_token_id]
    assert [sequence.region[i] for i in ends] == [CONTROL, CONTROL, RESPONSE]
    assert covered(dlm, sequence, PROMPT) == f"a{eos}"
    assert covered(dlm, sequence, RESPONSE) == eos
    assert sequence.ids.count(dlm.bos_token_id) == 1


def test_bos_is_ours_unless_control_text_comes_first():
    dlm = DLMS["words"]
    bos = dlm.bos_token_id
    answer = text_segment("b", region="response")
    assert encode(dlm, [control("S"), text_segment("a"), answer]).ids[0] != bos
    # A chat template that begins with the message itself has no BOS of its own.
    assert encode(dlm, [text_segment("a"), control("S"), answer]).ids[0] == bos
    assert encode(dlm, [answer]).ids[0] == bos
    assert encode(dlm, []).ids == [bos]


@pytest.mark.parametrize("kind", ["words", "bpe"])
def test_a_conversation_under_a_chat_template(kind):
    dlm = tiny_dlm("llama", TOKENIZERS[kind]())
    dlm.tokenizer.chat_template = CHAT_TEMPLATE
    messages = [
        {"role": "system", "content": "Write <eos> first"},
        {"role": "user", "content": "the word "},
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": "<|user|> {x} [MASK:3]"},
        {"role": "assistant", "content": "<bos>!"},
    ]
    sequence = encode(dlm, chat_segments("here", messages, dlm.tokenizer), end=True)
    assert covered(dlm, sequence, PROMPT) == "".join(m["content"] for m in messages[:-1])
    assert covered(dlm, sequence, RESPONSE) == messages[-1]["content"]
    markers = covered(dlm, sequence, CONTROL)
    assert markers == "".join(f"<|{m['role']}|>\n" + "\n" * (i < 4) for i, m in enumerate(messages))
    # Every special token comes from the template (one BOS, one EOS a message) or ends the response.
    assert sequence.ids.count(dlm.bos_token_id) == 1
    assert sequence.ids[0] == dlm.bos_token_id
    ends = [r for t, r in zip(sequence.ids, sequence.region, strict=True) if t == dlm.eos_token_id]
    assert ends == [CONTROL] * 4 + [RESPONSE]
    assert dlm.mask_token_id not in sequence.ids
    # Up to the response, the tokens are those of the template's own rendering (where contents hold
    # no specials).
    plain = [{"role": "user", "content": "the word"}, {"role": "assistant", "content": "a"}]
    ours = encode(dlm, chat_segments("here", plain, dlm.tokenizer), end=True)
    theirs = dlm.tokenizer.apply_chat_template(plain, tokenize=False).removesuffix("\n")
    assert decode(dlm, ours.ids) == decode(dlm, dlm.tokenizer(theirs)["input_ids"])
