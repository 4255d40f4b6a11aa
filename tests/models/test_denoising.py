"""Filling the slots of canvases with a model: only slots change, whatever shares the batch."""

from typing import Any

import pytest
import torch

from helpers import tiny_dlm
from promptinfill.data.encoding import EncodedSequence, encode_segments
from promptinfill.diffusion.sampling import SamplingOptions
from promptinfill.errors import ModelError
from promptinfill.models.denoising import fill_slots
from promptinfill.templates import Template

TEMPLATE = Template("Write [MASK:3:a] word\n[MASK:2] {input} [MASK:3:a]: {output}", "output")
OPTIONS = SamplingOptions(order="confidence", temperature=1.0)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def canvases(dlm: Any) -> list[EncodedSequence]:
    rows = [TEMPLATE.segments({"input": w, "output": w[0]}) for w in ("cat", "a longer one", "x")]
    return encode_segments(dlm, rows, end=True)


def fill(dlm: Any, rows: list[EncodedSequence], seeds: list[int], **how: Any) -> list[list[int]]:
    how = {"options": OPTIONS, "allow_eos": False} | how
    tokens = fill_slots(dlm, rows, seeds=seeds, **how).tokens.tolist()
    return [found[: len(row)] for found, row in zip(tokens, rows, strict=True)]


@pytest.mark.parametrize("family", ["modernbert", "qwen2"])
@pytest.mark.parametrize("shift", [0, 1])
def test_slots_are_filled_and_nothing_else(family: str, shift: int):
    dlm = tiny_dlm(family, conventions={"logits_shift": shift})
    rows = canvases(dlm)
    for row, found in zip(rows, fill(dlm, rows, [1, 2, 3]), strict=True):
        named: dict[int, set[int]] = {}
        for before, slot, after in zip(row.ids, row.slot, found, strict=True):
            if slot < 0:
                assert after == before
            else:
                named.setdefault(slot, set()).add(after)
                assert not dlm.suppressed[after]
                assert after != dlm.eos_token_id
        assert {len(tokens) for tokens in named.values()} == {1}  # one name, one text


def test_a_sample_does_not_depend_on_its_company():
    dlm = tiny_dlm("llama")
    rows = canvases(dlm)
    together = fill(dlm, rows, [1, 2, 3])
    assert fill(dlm, rows[::-1], [3, 2, 1]) == together[::-1]
    assert [fill(dlm, [row], [seed])[0] for row, seed in zip(rows, (1, 2, 3), strict=True)] == (
        together
    )
    assert fill(dlm, rows, [4, 5, 6]) != together


def test_eos_comes_out_where_an_answer_may_end():
    everything = tuple(t for t in tiny_dlm().tokenizer.get_vocab() if t not in ("<eos>", "a"))
    dlm = tiny_dlm(conventions={"suppressed_tokens": everything})
    rows = encode_segments(dlm, [Template("[MASK:30]").segments({})], end=False)
    letter = dlm.tokenizer.convert_tokens_to_ids("a")
    assert set(fill(dlm, rows, [0])[0][1:]) == {letter}
    assert dlm.eos_token_id in fill(dlm, rows, [0], allow_eos=True)[0]


def test_a_canvas_that_does_not_fit_is_refused():
    dlm = tiny_dlm("llama")
    rows = encode_segments(dlm, [Template("[MASK:128]").segments({})], end=False)
    with pytest.raises(ModelError, match=r"129 tokens does not fit tiny llama \(128 positions\)"):
        fill(dlm, rows, [0])
