"""Flat arrays and batches: nothing is lost, cut or mixed up, padded or packed."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from promptinfill.data.encoding import CONTROL, PROMPT, RESPONSE, EncodedSequence
from promptinfill.data.tokenized import (
    LengthBucketSampler,
    TokenizedDataset,
    attention_mask,
    collate,
    region_masks,
)
from promptinfill.errors import DataError

PAD = 999
TOKEN = st.tuples(
    st.integers(0, 250_000), st.sampled_from([CONTROL, PROMPT, RESPONSE]), st.booleans()
)
SEQUENCES = st.lists(st.lists(TOKEN, min_size=1, max_size=9), min_size=1, max_size=12)
PACKING = st.none() | st.integers(9, 30)


def dataset(rows, max_length: int = 9) -> TokenizedDataset:
    sequences = []
    for row in rows:
        sequence = EncodedSequence()
        for token, region, is_field in row:
            sequence.append(token, region, is_field)
        sequences.append(sequence)
    return TokenizedDataset.from_sequences(sequences, max_length=max_length)


def simple(*lengths: int) -> TokenizedDataset:
    rows = [[(10 * i + j, PROMPT, False) for j in range(n)] for i, n in enumerate(lengths)]
    return dataset(rows, max_length=1000)


def rows_of(data: TokenizedDataset) -> list[list[int]]:
    pairs = zip(data.starts[:-1], data.starts[1:], strict=True)
    return [data.ids[start:stop].tolist() for start, stop in pairs]


def same(one: TokenizedDataset, two: TokenizedDataset) -> bool:
    names = ("ids", "flags", "starts")
    arrays = all(np.array_equal(getattr(one, name), getattr(two, name)) for name in names)
    return arrays and one.too_long == two.too_long


# --- the data set -----------------------------------------------------------------------------


@given(SEQUENCES, st.integers(1, 9))
def test_too_long_is_counted_and_never_cut(rows, max_length):
    fitting = [[token for token, *_ in row] for row in rows if len(row) <= max_length]
    if not fitting:
        with pytest.raises(DataError, match=f"max_length = {max_length} .*{len(rows)} too long"):
            dataset(rows, max_length)
        return
    data = dataset(rows, max_length)
    assert rows_of(data) == fitting
    assert data.too_long == len(rows) - len(fitting)
    assert len(data) == len(fitting)
    assert data.lengths.tolist() == [len(row) for row in fitting]


def test_no_record_at_all_is_an_error():
    with pytest.raises(DataError, match="no sequence fits"):
        TokenizedDataset.from_sequences([], max_length=5)


@given(SEQUENCES, SEQUENCES)
def test_concatenation_is_one_after_the_other(one, two):
    parts = [dataset(one, 6 if min(map(len, one)) <= 6 else 9), dataset(two)]
    both = TokenizedDataset.concatenate(parts)
    assert rows_of(both) == rows_of(parts[0]) + rows_of(parts[1])
    assert both.flags.tolist() == [*parts[0].flags.tolist(), *parts[1].flags.tolist()]
    assert both.too_long == parts[0].too_long
    assert same(TokenizedDataset.concatenate(parts[:1]), parts[0])


def test_saved_data_load_back(tmp_path: Path):
    data = dataset([[(5, PROMPT, True), (250_000, RESPONSE, False)], [(7, CONTROL, False)] * 3], 2)
    path = tmp_path / "cache" / "data.npz"
    data.save(path)
    assert same(TokenizedDataset.load(path), data)
    assert data.too_long == 1
    assert [p.name for p in path.parent.iterdir()] == ["data.npz"]  # nothing half written stays


# --- the sampler ------------------------------------------------------------------------------

LENGTHS = st.lists(st.integers(1, 50), min_size=1, max_size=60).map(np.array)


@given(LENGTHS, st.integers(1, 8), st.integers(0, 3), st.integers(0, 3))
def test_batches_are_full_disjoint_and_repeatable(lengths, size, seed, epoch):
    def draw() -> list[list[int]]:
        sampler = LengthBucketSampler(lengths, size, seed, chunk=2)
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert len(batches) == len(sampler)
        return batches

    batches = draw()
    assert draw() == batches
    used = [index for batch in batches for index in batch]
    assert len(set(used)) == len(used)
    assert set(used) <= set(range(len(lengths)))
    if len(lengths) >= size:
        assert {len(batch) for batch in batches} == {size}
        assert len(lengths) - len(used) < size
    else:
        assert [sorted(batch) for batch in batches] == [list(range(len(lengths)))]


def test_epochs_and_seeds_have_their_own_order():
    def draw(seed: int, epoch: int) -> list[list[int]]:
        sampler = LengthBucketSampler(np.arange(64) % 7, 4, seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    drawn = [draw(0, 0), draw(0, 1), draw(1, 0), draw(1, 1)]
    assert all(drawn[i] != drawn[j] for i in range(4) for j in range(i))


def test_batches_hold_similar_lengths():
    lengths = np.random.default_rng(0).integers(1, 200, size=1600)
    batches = list(LengthBucketSampler(lengths, 16, 0))
    waste = [1 - lengths[b].mean() / lengths[b].max() for b in batches]
    assert np.mean(waste) < 0.05  # about one half without buckets
    firsts = [lengths[b].max() for b in batches]
    assert firsts != sorted(firsts)  # and short and long batches come in turn


def test_no_sequence_is_always_the_dropped_one():
    sampler = LengthBucketSampler(np.arange(1, 10), 4, 0)
    dropped = Counter()
    for epoch in range(40):
        sampler.set_epoch(epoch)
        dropped.update(set(range(9)) - {i for batch in sampler for i in batch})
    assert len(dropped) > 1


# --- batches ----------------------------------------------------------------------------------


@given(SEQUENCES, PACKING, st.randoms(use_true_random=False))
def test_a_batch_holds_each_sequence_once_and_whole(rows, packed_length, random):
    data = dataset(rows)
    indices = random.sample(range(len(rows)), random.randint(1, len(rows)))
    batch = collate(data, indices, pad_token_id=PAD, packed_length=packed_length)
    shape = batch["input_ids"].shape
    assert shape[1] % 8 == 0
    assert all(column.shape == shape for column in batch.values())
    found = {}
    for b in range(shape[0]):
        numbers = batch["sequence"][b]
        for number in set(numbers.tolist()) - {-1}:
            where = (numbers == number).nonzero().flatten()
            assert where.tolist() == list(range(int(where[0]), int(where[0]) + len(where)))
            (index,) = set(batch["index"][b, where].tolist())
            assert index not in found
            assert batch["position"][b, where].tolist() == list(range(len(where)))
            columns = ("input_ids", "region", "field")
            found[index] = list(
                zip(*(batch[name][b, where].tolist() for name in columns), strict=True)
            )
        padding = numbers == -1
        assert (batch["input_ids"][b, padding] == PAD).all()
        assert not batch["region"][b, padding].any()
        assert not batch["field"][b, padding].any()
    assert found == {index: rows[index] for index in indices}
    if packed_length is None:
        assert shape[0] == len(indices)
        assert batch["index"][:, 0].tolist() == indices
    else:
        assert (batch["sequence"] >= 0).sum(dim=1).max() <= packed_length


def test_packing_fills_rows():
    data = simple(6, 4, 5, 5, 3)
    batch = collate(data, range(5), pad_token_id=PAD, packed_length=10)
    assert batch["input_ids"].shape == (3, 16)
    assert sorted((batch["sequence"] >= 0).sum(dim=1).tolist()) == [3, 10, 10]


def test_a_sequence_longer_than_a_pack_has_a_row_of_its_own():
    batch = collate(simple(12, 3), range(2), pad_token_id=PAD, packed_length=8)
    assert sorted((batch["sequence"] >= 0).sum(dim=1).tolist()) == [3, 12]


@given(SEQUENCES, PACKING)
def test_nobody_sees_another_sequence(rows, packed_length):
    data = dataset(rows)
    batch = collate(data, range(len(rows)), pad_token_id=PAD, packed_length=packed_length)
    sequence = batch["sequence"]
    mask = attention_mask(sequence)
    real = sequence >= 0
    if mask.dim() == 2:
        assert torch.equal(mask, real)
        assert sequence.max() == 0
        return
    for b in range(len(sequence)):
        for q in real[b].nonzero().flatten().tolist():
            assert torch.equal(mask[b, q], sequence[b] == sequence[b, q])
        assert not mask[b][~real[b]][:, real[b]].any()
    assert mask.any(dim=2).all()  # a query without keys would have no softmax


def test_region_masks():
    prompt, response = region_masks(torch.tensor([[CONTROL, PROMPT, RESPONSE]]))
    assert prompt.tolist() == [[False, True, False]]
    assert response.tolist() == [[False, False, True]]
