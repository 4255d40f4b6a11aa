import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from promptinfill.diffusion.masking import Spans
from promptinfill.diffusion.objective import (
    LossWeights,
    chunked_cross_entropy,
    count_items,
    diffusion_loss,
    masked_cross_entropy,
)
from promptinfill.errors import RecipeError

# A token is (kind, eligible, masked, loss): c control, p prompt, r response.
TOKEN = st.tuples(
    st.sampled_from("cpr"), st.booleans(), st.booleans(), st.floats(0, 8, width=32)
).map(lambda token: (*token[:2], token[1] and token[2], token[3]))
# A sequence is its tokens and its time weight.
SEQUENCE = st.tuples(st.lists(TOKEN, min_size=1, max_size=6), st.floats(0.5, 20, width=32))
BATCH = st.lists(st.lists(SEQUENCE, min_size=1, max_size=3), min_size=1, max_size=3)

ALL_WEIGHTS = [
    LossWeights(time, prompt, response, balance, normalisation)
    for time, (prompt, response), balance, normalisation in itertools.product(
        ("schedule", "uniform"),
        ((1, 1), (0.3, 1), (0, 2)),
        (False, True),
        ("token", "sequence", "batch"),
    )
    if not (balance and normalisation == "batch")
]
WEIGHTS = st.sampled_from(ALL_WEIGHTS)


def tensors(batch, extra=0, left=0):
    """Rows of sequences -> the arguments of diffusion_loss, with padding on both sides."""
    width = left + extra + max(sum(len(tokens) for tokens, _ in row) for row in batch)
    shape = (len(batch), width)
    prompt, response, masked, eligible = (torch.zeros(shape, dtype=torch.bool) for _ in range(4))
    sequence = torch.full(shape, -1)
    time_weight = torch.full(shape, 7.0)
    loss = torch.zeros(shape)
    for b, row in enumerate(batch):
        column = left
        for s, (tokens, weight) in enumerate(row):
            for kind, is_eligible, is_masked, value in tokens:
                prompt[b, column], response[b, column] = kind == "p", kind == "r"
                eligible[b, column], masked[b, column] = is_eligible, is_masked
                sequence[b, column], time_weight[b, column] = s, weight
                loss[b, column] = value
                column += 1
    spans = Spans(prompt, response, torch.zeros_like(prompt), sequence)
    return loss[masked], masked, eligible, spans, time_weight


def brute_force(batch, weights):
    """The definition, token by token."""
    sequences = [sequence for row in batch for sequence in row]
    uniform = weights.time == "uniform"
    regions = ["cp", "r"] if weights.balance_regions else ["cpr"]
    total = 0.0
    for region in regions:
        sums, counts = [], []
        for tokens, time_weight in sequences:
            mine = [token for token in tokens if token[0] in region]
            counts.append(sum(masked if uniform else eligible for _, eligible, masked, _ in mine))
            sums.append(
                sum(
                    (weights.response if kind == "r" else weights.prompt)
                    * (1 if uniform else time_weight)
                    * loss
                    for kind, _, masked, loss in mine
                    if masked
                )
            )
        if weights.normalisation == "token":
            total += sum(sums) / max(sum(counts), 1)
        elif weights.normalisation == "sequence":
            means = [s / n for s, n in zip(sums, counts, strict=True) if n]
            total += sum(means) / max(len(means), 1)
        else:
            total += sum(sums) / len(sequences)
    return total


@given(BATCH, WEIGHTS)
def test_every_option_matches_the_definition(batch, weights):
    loss = diffusion_loss(*tensors(batch), weights)
    assert loss.total.item() == pytest.approx(brute_force(batch, weights), rel=1e-4, abs=1e-5)


@given(BATCH)
def test_the_log_shows_means_by_region(batch):
    loss = diffusion_loss(*tensors(batch), LossWeights(prompt=0.3))
    tokens = [token for row in batch for sequence, _ in row for token in sequence if token[2]]
    for kind, mean, count in (
        ("p", loss.prompt, loss.prompt_count),
        ("r", loss.response, loss.response_count),
    ):
        values = [value for k, _, _, value in tokens if k == kind]
        assert count.item() == len(values)
        assert mean.item() == pytest.approx(sum(values) / max(len(values), 1), rel=1e-5)


@given(BATCH, WEIGHTS, st.integers(0, 4), st.integers(0, 3))
def test_padding_and_packing_change_nothing(batch, weights, extra, left):
    packed = diffusion_loss(*tensors(batch), weights).total.item()
    padded = diffusion_loss(*tensors(batch, extra, left), weights).total.item()
    alone = [[sequence] for row in batch for sequence in row]
    unpacked = diffusion_loss(*tensors(alone, extra, left), weights).total.item()
    assert padded == pytest.approx(packed, rel=1e-5, abs=1e-6)
    assert unpacked == pytest.approx(packed, rel=1e-5, abs=1e-6)


@given(BATCH, WEIGHTS)
def test_micro_batches_add_up_to_the_batch(batch, weights):
    whole = diffusion_loss(*tensors(batch), weights).total.item()
    micro = [tensors([row]) for row in batch]
    items = sum(
        count_items(masked, eligible, spans, weights) for _, masked, eligible, spans, _ in micro
    )
    parts = [diffusion_loss(*part, weights, num_items=items).total.item() for part in micro]
    assert sum(parts) == pytest.approx(whole, rel=1e-4, abs=1e-5)


def test_balanced_regions_by_hand():
    """mean over response + 0.3 * mean over prompt, whatever their lengths."""
    tokens = [("p", True, True, 2.0)] * 5 + [("p", True, False, 0.0)] + [("r", True, True, 4.0)]
    weights = LossWeights(time="uniform", prompt=0.3, balance_regions=True)
    loss = diffusion_loss(*tensors([[(tokens, 9.0)]]), weights)
    assert loss.total.item() == pytest.approx(4 + 0.3 * 2)


def test_a_scalar_num_items_replaces_the_count():
    batch = [[([("r", True, True, 3.0), ("r", True, False, 0.0)], 2.0)]]
    loss = diffusion_loss(*tensors(batch), LossWeights(), num_items=torch.tensor(12))
    assert loss.total.item() == pytest.approx(2.0 * 3.0 / 12)


def test_gradients_are_the_coefficients_and_logs_are_detached():
    batch = [[([("r", True, True, 3.0), ("p", True, True, 1.0), ("p", True, False, 0.0)], 2.0)]]
    token_loss, *rest = tensors(batch)
    token_loss.requires_grad_()
    loss = diffusion_loss(token_loss, *rest, LossWeights(prompt=0.5))
    loss.total.backward()
    assert token_loss.grad.tolist() == pytest.approx([2 / 3, 0.5 * 2 / 3])
    assert not loss.prompt.requires_grad
    assert not loss.response.requires_grad


def test_nothing_masked_gives_zero_with_a_gradient():
    batch = [[([("r", True, False, 0.0), ("c", False, False, 0.0)], 2.0)]]
    logits = torch.zeros(0, 5, requires_grad=True)
    token_loss = masked_cross_entropy(logits, torch.zeros(0, dtype=torch.int64))
    for weights in ALL_WEIGHTS:
        loss = diffusion_loss(token_loss, *tensors(batch)[1:], weights)
        assert loss.total.item() == 0
    loss.total.backward()
    assert logits.grad.shape == (0, 5)


def test_cross_entropy_is_computed_in_float32():
    logits = torch.randn(50, 40, generator=torch.Generator().manual_seed(0)).bfloat16() * 8
    targets = torch.arange(50) % 40
    loss = masked_cross_entropy(logits, targets)
    expected = -logits.double().log_softmax(1)[torch.arange(50), targets]
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time": "linear"}, "choose schedule or uniform"),
        ({"normalisation": "row"}, "choose token, sequence or batch"),
        ({"prompt": -1}, "prompt -1"),
        ({"prompt": 0, "response": 0}, "at least one above 0"),
        ({"balance_regions": True, "normalisation": "batch"}, "choose one of them"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(RecipeError, match=message):
        LossWeights(**options)


def test_mismatched_inputs():
    batch = [[([("r", True, True, 3.0), ("p", True, True, 1.0)], 2.0)]]
    token_loss, *rest = tensors(batch)
    with pytest.raises(ValueError, match="1 entries for 2 masked tokens"):
        diffusion_loss(token_loss[:1], *rest, LossWeights())
    with pytest.raises(ValueError, match="add up what count_items returns"):
        diffusion_loss(
            token_loss, *rest, LossWeights(balance_regions=True), num_items=torch.tensor(3)
        )


@pytest.mark.parametrize("chunk_entries", [1, 40, 80, 10_000])
def test_chunks_of_the_output_layer_change_neither_loss_nor_gradient(chunk_entries):
    """The fast path of training, held to the plain one."""
    generator = torch.Generator().manual_seed(0)
    vocabulary, head = 40, torch.randn(6, 40, generator=generator).double().requires_grad_()
    hidden = torch.randn(3, 5, 6, generator=generator).double().requires_grad_()
    masked = torch.rand(3, 5, generator=generator) < 0.6
    targets = torch.randint(0, vocabulary, (3, 5), generator=generator)
    most = 0

    def logits_at(hidden, positions):
        nonlocal most
        most = max(most, int(positions.sum()))
        return hidden[positions] @ head

    def gradients(loss):
        total = (loss * torch.arange(1, len(loss) + 1)).sum()
        return torch.autograd.grad(total, (hidden, head))

    found = chunked_cross_entropy(
        logits_at, hidden, masked, targets, vocab_size=vocabulary, chunk_entries=chunk_entries
    )
    found_gradients = gradients(found)
    assert most <= max(1, chunk_entries // vocabulary)
    expected = masked_cross_entropy(hidden[masked] @ head, targets[masked])
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    for one, other in zip(found_gradients, gradients(expected), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_chunks_of_nothing():
    hidden = torch.zeros(2, 3, 4)
    loss = chunked_cross_entropy(
        lambda hidden, positions: hidden[positions],
        hidden,
        torch.zeros(2, 3, dtype=torch.bool),
        torch.zeros(2, 3, dtype=torch.int64),
        vocab_size=4,
        chunk_entries=4,
    )
    assert loss.shape == (0,)
