"""Cached infilling: exact where nothing is stale, bounded work, one cache for equal canvases."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import FAMILIES, tiny_dlm
from promptinfill.data.encoding import EncodedSequence, encode_segments
from promptinfill.diffusion.sampling import SamplingOptions
from promptinfill.errors import PromptInfillError
from promptinfill.models.denoising import fill_slots
from promptinfill.models.hole_cache import CachedPredictor, CacheOptions
from promptinfill.templates import Template

TEMPLATE = Template("Write [MASK:3] word\n[MASK:2] {input} : {output}", "output")


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def canvases(dlm: Any, words: tuple[str, ...]) -> list[EncodedSequence]:
    return encode_segments(
        dlm, [TEMPLATE.segments({"input": w, "output": w[0]}) for w in words], end=True
    )


def tensors(dlm: Any, rows: list[EncodedSequence]) -> tuple[torch.Tensor, ...]:
    width = max(map(len, rows))
    ids = torch.tensor([r.ids + [dlm.pad_token_id] * (width - len(r)) for r in rows])
    slots = torch.tensor([r.slot + [-1] * (width - len(r)) for r in rows])
    attention = torch.arange(width) < torch.tensor([len(r) for r in rows])[:, None]
    return ids, slots, attention


def with_commit(ids: torch.Tensor, masked: torch.Tensor, token: int) -> tuple[torch.Tensor, ...]:
    """The first masked position of each row filled with a token, another in each row."""
    ids, masked = ids.clone(), masked.clone()
    for row in range(len(ids)):
        column = int(masked[row].nonzero()[0])
        ids[row, column], masked[row, column] = token + row, False
    return ids, masked


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("shift", [0, 1])
@torch.inference_mode()
def test_with_every_position_in_the_window_a_cached_step_is_exact(family: str, shift: int):
    """Nothing is stale when everything is recomputed, so this holds attention, masks, positions
    and padding of every family to the readable path."""
    dlm = tiny_dlm(family, conventions={"logits_shift": shift})
    ids, slots, attention = tensors(dlm, canvases(dlm, ("cat", "cat", "a much longer one", "x")))
    predictor = CachedPredictor(dlm, slots, attention, CacheOptions(refresh=9, window=128))
    rows, masked = torch.arange(len(ids)), slots >= 0
    with predictor.installed():
        first = predictor(ids, rows, masked)
        changed, still = with_commit(ids, masked, 20)
        second = predictor(changed, rows, still)
    assert predictor.cached_tokens > 0
    for logits, tokens, where in ((first, ids, masked), (second, changed, still)):
        expected = dlm.logits_at(dlm.hidden(tokens, attention), where)
        torch.testing.assert_close(logits, expected, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("family", FAMILIES)
@torch.inference_mode()
def test_a_step_that_changes_nothing_is_exact(family: str):
    """The context's keys and values are those of this very canvas: nothing is stale either."""
    dlm = tiny_dlm(family)
    ids, slots, attention = tensors(dlm, canvases(dlm, ("cat", "a much longer one", "cat")))
    predictor = CachedPredictor(dlm, slots, attention, CacheOptions(refresh=9))
    rows, masked = torch.arange(len(ids)), slots >= 0
    with predictor.installed():
        first = predictor(ids, rows, masked)
        second = predictor(ids, rows, masked)
    torch.testing.assert_close(first, second, atol=2e-4, rtol=2e-4)
    assert predictor.store is not None
    assert len(predictor.store.layers[0].keys) == 2  # equal canvases share one context


@given(st.integers(0, 2**31), st.sampled_from(FAMILIES))
@settings(max_examples=15, deadline=None)
def test_refreshing_at_every_step_gives_the_uncached_tokens(seed: int, family: str):
    dlm = tiny_dlm(family, seed=seed % 5)
    rows = canvases(dlm, ("cat", "a longer one", "cat"))
    how: dict[str, Any] = {
        "seeds": [seed, seed + 1, seed + 2],
        "options": SamplingOptions(temperature=0.7),
        "allow_eos": False,
    }
    exact = fill_slots(dlm, rows, **how)
    cached = fill_slots(dlm, rows, cache=CacheOptions(refresh=1), **how)
    assert exact.tokens.tolist() == cached.tokens.tolist()


def test_a_cached_sample_does_not_depend_on_its_company():
    dlm = tiny_dlm("modernbert")
    rows = canvases(dlm, ("cat", "a much longer one", "x"))
    how: dict[str, Any] = {
        "options": SamplingOptions(temperature=1.0),
        "allow_eos": False,
        "cache": CacheOptions(refresh=2, refresh_below=0.5),
    }
    together = fill_slots(dlm, rows, seeds=[1, 2, 3], **how).tokens
    for row, seed, found in zip(rows, (1, 2, 3), together.tolist(), strict=True):
        alone = fill_slots(dlm, [row], seeds=[seed], **how).tokens.tolist()[0]
        assert found[: len(row)] == alone


@torch.inference_mode()
def test_unsure_rows_are_refreshed_and_keep_their_place_among_the_others():
    dlm = tiny_dlm("llama")
    ids, slots, attention = tensors(dlm, canvases(dlm, ("cat", "a much longer one", "x")))
    predictor = CachedPredictor(dlm, slots, attention, CacheOptions(refresh=9))
    rows, masked = torch.arange(3), slots >= 0
    with predictor.installed():
        predictor(ids, rows, masked)
        changed, still = with_commit(ids, masked, 20)
        predictor.age[1] = 9  # as refresh_below does it
        before = predictor.exact_tokens
        mixed = predictor(changed, rows, still)
        assert predictor.exact_tokens - before == int(attention[1].sum())
        expected = dlm.logits_at(dlm.hidden(changed, attention), still)
        mine = (still.nonzero()[:, 0] == 1).nonzero().squeeze(1)
        torch.testing.assert_close(mixed[mine], expected[mine], atol=2e-4, rtol=2e-4)
        again = predictor(changed, rows, still)  # all three from the joined cache
    torch.testing.assert_close(again, mixed, atol=2e-4, rtol=2e-4)


def test_unsure_means_below_the_given_confidence():
    dlm = tiny_dlm("llama")
    rows = canvases(dlm, ("cat",))
    how: dict[str, Any] = {"seeds": [0], "options": SamplingOptions(), "allow_eos": False}
    exact = fill_slots(dlm, rows, **how).tokens
    always = fill_slots(dlm, rows, cache=CacheOptions(refresh=99, refresh_below=1.0), **how).tokens
    # Exact at every second step at least, and exact at the first two decisions' distance.
    assert always.shape == exact.shape
    assert not (always == dlm.mask_token_id).any()


def test_the_model_attends_as_before_afterwards():
    dlm = tiny_dlm("bert")
    before = dlm.model.config._attn_implementation
    rows = canvases(dlm, ("cat",))
    how: dict[str, Any] = {"seeds": [0], "options": SamplingOptions(), "allow_eos": False}
    exact = fill_slots(dlm, rows, **how)
    fill_slots(dlm, rows, cache=CacheOptions(), **how)
    assert dlm.model.config._attn_implementation == before
    assert torch.equal(fill_slots(dlm, rows, **how).tokens, exact.tokens)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"refresh": 0}, "cache refresh is 0"),
        ({"window": -1}, "cache window is -1"),
        ({"refresh_below": 0.0}, "cache refresh_below is 0.0"),
    ],
)
def test_wrong_options(change: dict[str, Any], message: str):
    with pytest.raises(PromptInfillError, match=message):
        replace(CacheOptions(), **change)
