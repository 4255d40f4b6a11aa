import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from promptinfill.diffusion.noise import Stream, uniform
from promptinfill.diffusion.sampling import (
    ORDERS,
    PACES,
    SamplingOptions,
    StepTrace,
    denoise,
    draw,
)
from promptinfill.errors import ModelError, PromptInfillError

V = 6
MASK = V  # outside the vocabulary of the logits, unless a test says otherwise


def seeded(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def toy_predict(vocabulary=V, identity=None, scale=3.0):
    """A model whose logits are a hash of the row's own tokens (and of the row's identity)."""

    def predict(tokens, rows, masked):
        columns = torch.arange(tokens.shape[1])
        content = (tokens * (columns * 7919 + 17)).sum(dim=1)
        if identity is not None:
            content = content + identity[rows]
        u = uniform(content[:, None, None], columns[:, None], torch.arange(vocabulary))
        return (u * scale)[masked]

    return predict


def canvas(rows, length, holes, seed=0):
    """`rows` random canvases; holes: column -> slot, the same in every row."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, V, (rows, length), generator=generator)
    slots = torch.full((rows, length), -1)
    for column, slot in holes.items():
        slots[:, column] = slot
    return tokens, slots


def exact_predict(joint):
    """The exact conditionals of a joint distribution over L tokens of V values each."""
    length, size = joint.ndim, joint.shape[0]
    states = torch.cartesian_prod(*[torch.arange(size)] * length)
    one_hot = torch.nn.functional.one_hot(states, size).to(joint)

    def predict(tokens, rows, masked):
        known = ~masked[:, None, :]
        agrees = (~known | (tokens[:, None, :] == states)).all(dim=2)
        weights = agrees * joint.flatten()
        return torch.einsum("bs,slv->blv", weights, one_hot)[masked].log()

    return predict


def run(predict, tokens, slots, seeds=None, **kwargs):
    options = {
        name: kwargs.pop(name) for name in list(kwargs) if name in SamplingOptions.__annotations__
    }
    kwargs.setdefault("mask_token_id", MASK)
    if seeds is None:
        seeds = torch.arange(len(tokens))
    return denoise(
        predict, tokens, slots, options=SamplingOptions(**options), seeds=seeds, **kwargs
    )


# --- the distribution -------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["random", "left_to_right", "entropy", "margin"])
def test_one_token_a_step_from_exact_conditionals_reproduces_the_joint(order):
    """Orders that do not look at the drawn token leave ancestral sampling exact."""
    joint = seeded(3, 3, 3).mul(1.5).exp().double()
    joint /= joint.sum()
    n = 20_000
    tokens = torch.zeros(n, 3, dtype=torch.int64)
    slots = torch.arange(3).expand(n, 3)
    result = run(exact_predict(joint), tokens, slots, mask_token_id=3, order=order, temperature=1.0)
    state = (result.tokens * torch.tensor([9, 3, 1])).sum(dim=1)
    counts = state.bincount(minlength=27)
    assert stats.chisquare(counts.numpy(), (joint.flatten() * n).numpy()).pvalue > 1e-3
    # One token a step: the chain rule holds, so log_prob is the joint's.
    torch.testing.assert_close(
        result.log_prob.double(), joint.flatten()[state].log(), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"),
    [
        (1.0, None, None),
        (0.5, None, None),
        (2.0, None, None),
        (1.0, 3, None),
        (1.0, None, 0.6),
        (1.5, 4, 0.7),
        (0.7, 50, 1.0),
    ],
)
def test_draws_follow_the_tempered_cut_distribution(temperature, top_k, top_p):
    log_probs = seeded(V, seed=3).log_softmax(0)
    # The definition, on a plain list of tokens from the most probable down.
    ranked = sorted(range(V), key=lambda token: -log_probs[token].item())
    mass = {t: (log_probs[t].double() / temperature).exp().item() for t in ranked}
    kept = ranked[: top_k or V]
    if top_p is not None:
        whole = sum(mass[t] for t in kept)
        before = [sum(mass[t] for t in kept[:i]) / whole for i in range(len(kept))]
        kept = [t for t, b in zip(kept, before, strict=True) if b < top_p]
    n = 40_000
    u = uniform(torch.arange(n), 1)
    counts = draw(log_probs.expand(n, V), u, temperature, top_k, top_p).bincount(minlength=V)
    assert counts.sum() == counts[kept].sum()
    if len(kept) > 1:
        expected = [n * mass[t] / sum(mass[t] for t in kept) for t in kept]
        assert stats.chisquare(counts[kept].numpy(), expected).pvalue > 1e-3


def test_temperature_zero_takes_the_most_probable_token():
    log_probs = seeded(50, V)
    u = uniform(torch.arange(50))
    assert torch.equal(draw(log_probs, u, 0.0, top_k=2, top_p=0.1), log_probs.argmax(dim=1))
    assert torch.equal(draw(log_probs, u, 1e-4), log_probs.argmax(dim=1))
    assert torch.equal(draw(log_probs, u, 1.0, top_k=1), log_probs.argmax(dim=1))
    assert torch.equal(draw(log_probs, u, 1.0, top_p=1e-6), log_probs.argmax(dim=1))


def test_a_uniform_on_a_boundary_belongs_to_the_token_above_it():
    log_probs = torch.tensor([[0.0, 0.25, 0.25, 0.5]]).log()
    for u, token in ((0.0, 1), (0.2499, 1), (0.25, 2), (0.4999, 2), (0.5, 3), (0.9999, 3)):
        assert draw(log_probs, torch.tensor([u]), 1.0).item() == token


@given(
    st.lists(st.sampled_from([-torch.inf, -50.0, 0.0, 3.0]), min_size=2, max_size=8),
    st.sampled_from([0.0, 0.5, 1.0, 7.0]),
    st.sampled_from([None, 1, 2, 20]),
    st.sampled_from([None, 0.3, 1.0]),
    st.sampled_from([0.0, 0.5, 1 - 2.0**-24]),
)
def test_impossible_tokens_are_never_drawn(logits, temperature, top_k, top_p, u):
    logits = torch.tensor([*logits, 0.0])
    token = draw(logits.log_softmax(0)[None], torch.tensor([u]), temperature, top_k, top_p)
    assert logits[token].item() > -torch.inf


def test_the_draw_is_the_inverse_distribution_function_at_the_documented_uniform():
    tokens, slots = canvas(40, 3, {1: 0})
    seeds = torch.arange(40) * 13
    result = run(toy_predict(), tokens, slots, seeds=seeds, temperature=1.0)
    masked = slots >= 0
    logits = toy_predict()(tokens.masked_fill(masked, MASK), torch.arange(40), masked)
    below = logits.softmax(1).cumsum(1)
    u = uniform(seeds, Stream.TOKEN, 0, 0)
    assert torch.equal(result.tokens[:, 1], (below <= u[:, None]).sum(dim=1))


# --- what is committed, and when --------------------------------------------------------------


def trace_of(predict, tokens, slots, **kwargs):
    steps = []
    result = run(predict, tokens, slots, on_step=steps.append, **kwargs)
    return result, steps


def table_predict(log_probs):
    """Fixed log-probabilities per column, whatever the tokens."""

    def predict(tokens, rows, masked):
        return log_probs.expand(len(tokens), *log_probs.shape)[masked]

    return predict


P = torch.tensor(
    [
        # slot 0: sure of its best token, though broad; 1: two rivals; 2: surest; 3: a clear lead
        [0.62, 0.20, 0.18, 0.00],
        [0.50, 0.49, 0.005, 0.005],
        [0.90, 0.10, 0.00, 0.00],
        [0.56, 0.15, 0.145, 0.145],
    ]
)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("confidence", [2, 0, 3, 1]),
        ("entropy", [2, 1, 0, 3]),
        ("margin", [2, 0, 3, 1]),
        ("left_to_right", [0, 1, 2, 3]),
    ],
)
def test_orders(order, expected):
    tokens, slots = torch.zeros(1, 4, dtype=torch.int64), torch.arange(4)[None]
    result, steps = trace_of(table_predict(P.log()), tokens, slots, mask_token_id=9, order=order)
    assert [step.slots.tolist() for step in steps] == [[slot] for slot in expected]
    assert result.tokens.tolist() == [[0, 0, 0, 0]]
    assert result.log_prob.item() == pytest.approx(P[:, 0].log().sum().item(), abs=1e-5)
    assert torch.cat([step.confidences for step in steps]).tolist() == pytest.approx(
        P[expected, 0].tolist()
    )


def test_margin_and_confidence_differ():
    p = torch.tensor([[0.50, 0.49, 0.01], [0.45, 0.275, 0.275]])
    tokens, slots = torch.zeros(1, 2, dtype=torch.int64), torch.arange(2)[None]
    first = {}
    for order in ("confidence", "margin"):
        _, steps = trace_of(table_predict(p.log()), tokens, slots, mask_token_id=9, order=order)
        first[order] = steps[0].slots.item()
    assert first == {"confidence": 0, "margin": 1}


def test_random_order_is_uniform_over_permutations():
    n = 6000
    tokens, slots = torch.zeros(n, 3, dtype=torch.int64), torch.arange(3).expand(n, 3)
    _, steps = trace_of(
        table_predict(torch.zeros(3, 4)), tokens, slots, mask_token_id=9, order="random"
    )
    permutation = sum(step.slots * 3**i for i, step in enumerate(steps))
    counts = permutation.unique(return_counts=True)[1]
    assert len(counts) == 6
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


@pytest.mark.parametrize("order", ["confidence", "entropy", "margin"])
def test_ties_go_to_the_lower_slot(order):
    tokens = torch.zeros(1, 4, dtype=torch.int64)
    slots = torch.tensor([[3, 1, 2, 0]])
    _, steps = trace_of(
        table_predict(torch.zeros(4, 4)), tokens, slots, mask_token_id=9, order=order
    )
    assert [step.slots.item() for step in steps] == [0, 1, 2, 3]


@given(st.integers(1, 9), st.integers(1, 4), st.sampled_from(list(ORDERS)))
def test_tokens_per_step(holes, per_step, order):
    tokens, slots = canvas(3, 10, {column: column for column in range(holes)})
    result, steps = trace_of(
        toy_predict(), tokens, slots, tokens_per_step=per_step, order=order, temperature=1.0
    )
    expected = -(-holes // per_step)
    assert result.steps.tolist() == [expected] * 3
    assert result.forwards == len(steps) == expected
    assert result.row_forwards == 3 * expected
    for step in steps[:-1]:
        assert step.samples.bincount().tolist() == [per_step] * 3
    assert torch.equal(result.tokens[:, holes:], tokens[:, holes:])
    assert (result.tokens < V).all()


def test_the_threshold_commits_all_that_are_sure():
    tokens, slots = torch.zeros(1, 4, dtype=torch.int64), torch.arange(4)[None]
    _, steps = trace_of(table_predict(P.log()), tokens, slots, mask_token_id=9, threshold=0.55)
    assert [step.slots.tolist() for step in steps] == [[0, 2, 3], [1]]
    _, steps = trace_of(table_predict(P.log()), tokens, slots, mask_token_id=9, threshold=0.95)
    assert [step.slots.tolist() for step in steps] == [[2], [0], [3], [1]]


def test_the_trace_tells_the_whole_story():
    tokens, slots = canvas(3, 6, {1: 0, 2: 1, 4: 2})
    result, steps = trace_of(toy_predict(), tokens, slots, tokens_per_step=2, temperature=1.0)
    state = tokens.masked_fill(slots >= 0, MASK)
    column = {0: 1, 1: 2, 2: 4}
    total = torch.zeros(3)
    for number, step in enumerate(steps):
        assert step.step == number
        for n, slot, token, confidence in zip(
            step.samples, step.slots, step.token_ids, step.confidences, strict=True
        ):
            assert state[n, column[slot.item()]] == MASK
            state[n, column[slot.item()]] = token
            total[n] += confidence.log()
        assert torch.equal(step.tokens, state)
    assert torch.equal(result.tokens, state)
    torch.testing.assert_close(result.log_prob, total)


def test_finished_rows_leave_the_batch():
    tokens, slots = canvas(3, 6, {})
    slots[0, 0] = 0
    slots[2, :4] = torch.arange(4)
    seen = []

    def predict(tokens, rows, masked):
        seen.append((rows.tolist(), masked.sum(dim=1).tolist()))
        assert torch.equal(tokens == MASK, masked)
        return toy_predict()(tokens, rows, masked)

    result = run(predict, tokens, slots)
    assert seen == [([0, 2], [1, 4]), ([2], [3]), ([2], [2]), ([2], [1])]
    assert (result.forwards, result.row_forwards) == (4, 5)
    assert result.steps.tolist() == [1, 0, 4]
    assert result.log_prob[1] == 0
    assert torch.equal(result.tokens[1], tokens[1])


def test_nothing_to_do():
    tokens, slots = canvas(2, 3, {})
    result = run(None, tokens, slots)
    assert torch.equal(result.tokens, tokens)
    assert (result.forwards, result.row_forwards) == (0, 0)
    empty = run(None, tokens[:0], slots[:0])
    assert empty.tokens.shape == (0, 3)
    assert empty.log_prob.shape == (0,)


def test_inputs_stay_as_they_were():
    tokens, slots = canvas(2, 5, {0: 0, 3: 1})
    before = tokens.clone()
    run(toy_predict(), tokens, slots)
    assert torch.equal(tokens, before)


# --- suppressed tokens ------------------------------------------------------------------------


@given(
    st.sets(st.integers(0, V - 1), max_size=V - 2),
    st.sampled_from([0.0, 1.0, 5.0]),
    st.integers(0, 99),
)
def test_suppressed_tokens_never_come_out(banned, temperature, seed):
    tokens, slots = canvas(4, 6, {1: 0, 2: 1, 5: 2}, seed)
    suppressed = torch.zeros(V, dtype=torch.bool)
    suppressed[list(banned)] = True
    mask_id = V - 1  # a mask token inside the vocabulary is suppressed unasked
    result = run(
        toy_predict(scale=50.0),
        tokens,
        slots,
        mask_token_id=mask_id,
        temperature=temperature,
        suppressed=suppressed,
        tokens_per_step=2,
    )
    out = result.tokens[slots >= 0]
    assert not set(out.tolist()) & (banned | {mask_id})


def test_suppression_comes_before_the_softmax():
    tokens, slots = canvas(1, 1, {0: 0})
    logits = torch.tensor([[9.0, 1.0, 0.5, 0.0]])
    suppressed = torch.tensor([True, False, False, False])
    result = run(table_predict(logits), tokens, slots, suppressed=suppressed)
    assert result.tokens.item() == 1
    expected = logits[0, 1:].log_softmax(0)[0].item()
    assert result.log_prob.item() == pytest.approx(expected)


# --- copies, experts, guidance ----------------------------------------------------------------


def combined_by_hand(logits, weights):
    return (torch.tensor(weights)[:, None] * logits.log_softmax(1)).sum(0).log_softmax(0)


def first_step(logits, sample, row_weight, temperature=0.0, holes=None, seeds=None):
    """Denoise one column with fixed logits per row; the log-probability of the tokens."""
    tokens, slots = torch.zeros(len(logits), 1, dtype=torch.int64), torch.zeros(len(logits), 1)
    return run(
        lambda tokens, rows, masked: logits[rows],
        tokens,
        slots.long(),
        mask_token_id=99,
        sample=torch.tensor(sample),
        row_weight=None if row_weight is None else torch.tensor(row_weight),
        seeds=torch.arange(max(sample) + 1) if seeds is None else seeds,
        temperature=temperature,
    )


@pytest.mark.parametrize(
    "weights",
    [[1.0, 1.0, 1.0], [1 / 3] * 3, [1.0, 1.0, -1.0], [2.5, -1.5, 0.0]],
    ids=["product of experts", "geometric mean", "prior correction", "guidance"],
)
def test_rows_of_a_sample_combine_by_weight(weights):
    logits = seeded(3, V, seed=5) * 2
    expected = combined_by_hand(logits, weights)
    result = first_step(logits, [0, 0, 0], weights)
    assert result.tokens.flatten().tolist() == [expected.argmax().item()] * 3
    assert result.log_prob.item() == pytest.approx(expected.max().item(), rel=1e-4)
    assert result.row_forwards == 3


def test_tied_canvases_sample_the_brute_force_product():
    """Draws of a tied pair follow the normalised product of the two rows' distributions."""
    n = 10_000
    pair = seeded(2, V, seed=2)
    product = pair.softmax(1).prod(0)
    product /= product.sum()
    sample = [i for i in range(n) for _ in range(2)]
    result = first_step(pair.repeat(n, 1), sample, None, temperature=1.0)
    tokens = result.tokens.view(n, 2)
    assert torch.equal(tokens[:, 0], tokens[:, 1])
    counts = tokens[:, 0].bincount(minlength=V)
    assert stats.chisquare(counts.numpy(), (product * n).numpy(), sum_check=False).pvalue > 1e-3


def test_tied_canvases_of_an_exact_model_follow_the_posterior():
    """K examples, one hidden instruction h: the product over p(h)^(K-1) is p(h | all examples)."""
    prior = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    likelihood = seeded(3, 4, seed=1).softmax(1).double()  # p(example | h)
    examples = [0, 2, 2]
    posterior = prior * likelihood[:, examples].prod(dim=1)
    posterior /= posterior.sum()
    single = prior * likelihood[:, examples].T
    rows = torch.cat([single, prior[None]]).log().float()
    n = 8000
    sample = [i for i in range(n) for _ in range(4)]
    weights = [1.0, 1.0, 1.0, -2.0] * n
    result = first_step(rows.repeat(n, 1), sample, weights, temperature=1.0)
    counts = result.tokens.view(n, 4)[:, 0].bincount(minlength=3)
    assert stats.chisquare(counts.numpy(), (posterior * n).numpy()).pvalue > 1e-3


def test_guidance_equals_its_formula():
    conditional, unconditional = seeded(1, V, seed=7), seeded(1, V, seed=8)
    s = 1.5
    expected = ((1 + s) * conditional - s * unconditional).log_softmax(1)
    result = first_step(torch.cat([conditional, unconditional]), [0, 0], [1 + s, -s])
    assert result.tokens[0].item() == expected.argmax().item()
    assert result.log_prob.item() == pytest.approx(expected.max().item(), rel=1e-4)


def test_copies_in_one_row_share_its_weight():
    """A named hole used twice: the mean of the copies' log-probabilities, renormalised."""
    tokens, slots = torch.zeros(1, 3, dtype=torch.int64), torch.tensor([[0, -1, 0]])
    logits = seeded(3, V, seed=9) * 2
    result = run(table_predict(logits), tokens, slots)
    expected = combined_by_hand(logits[[0, 2]], [0.5, 0.5])
    assert result.tokens.tolist() == [[expected.argmax().item(), 0, expected.argmax().item()]]
    assert result.log_prob.item() == pytest.approx(expected.max().item(), rel=1e-4)
    assert result.steps.item() == 1


def test_copies_in_rows_and_across_rows_together():
    """Two copies in the first row (weight 2), one in the second (weight 1), elsewhere in it."""
    logits = seeded(2, 3, V, seed=11)
    tokens = torch.zeros(2, 3, dtype=torch.int64)
    slots = torch.tensor([[0, 0, -1], [-1, -1, 0]])
    result = run(
        lambda tokens, rows, masked: logits[rows][masked],
        tokens,
        slots,
        sample=torch.tensor([0, 0]),
        row_weight=torch.tensor([2.0, 1.0]),
        seeds=torch.tensor([0]),
    )
    stacked = torch.stack([logits[0, 0], logits[0, 1], logits[1, 2]])
    expected = combined_by_hand(stacked, [1.0, 1.0, 1.0])
    token = expected.argmax().item()
    assert result.tokens.tolist() == [[token, token, 0], [0, 0, token]]
    assert result.log_prob.item() == pytest.approx(expected.max().item(), rel=1e-4)


def test_a_token_that_every_expert_forbids_stays_forbidden():
    logits = torch.tensor([[0.0, -torch.inf, 1.0], [0.5, -torch.inf, 0.0]])
    for weights in ([1.0, 1.0], [2.5, -1.5], [1.0, 0.0]):
        for seed in range(20):
            result = first_step(
                logits, [0, 0], weights, temperature=1.0, seeds=torch.tensor([seed])
            )
            assert result.tokens[0].item() != 1
            assert torch.isfinite(result.log_prob).all()


# --- independence of the batch ----------------------------------------------------------------


@st.composite
def samples(draw_):
    """A sample: its seed and its canvases, tied or not, of one length."""
    rows = draw_(st.integers(1, 3))
    line = st.lists(st.integers(-2, 3), min_size=6, max_size=6)
    slots = torch.tensor(draw_(st.lists(line, min_size=rows, max_size=rows))).clamp(min=-1)
    tokens = draw_(st.lists(st.integers(0, V - 1), min_size=6 * rows, max_size=6 * rows))
    weights = draw_(st.sampled_from([[1.0, 1.0, 1.0], [2.0, -1.0, 0.5]]))[:rows]
    return {
        "seed": draw_(st.integers(-(2**63), 2**63 - 1)),
        "tokens": torch.tensor(tokens).view(rows, 6),
        "slots": slots,
        "weight": torch.tensor(weights),
        "identity": torch.tensor(draw_(st.lists(st.integers(0, 99), min_size=rows, max_size=rows))),
    }


OPTIONS = st.builds(
    SamplingOptions,
    order=st.sampled_from(list(ORDERS)),
    tokens_per_step=st.integers(1, 3),
    threshold=st.sampled_from([None, 0.3]),
    temperature=st.sampled_from([0.0, 1.0]),
    top_k=st.sampled_from([None, 3]),
    top_p=st.sampled_from([None, 0.8]),
)


def run_samples(batch, options):
    rows = [len(one["tokens"]) for one in batch]
    return denoise(
        toy_predict(identity=torch.cat([one["identity"] for one in batch])),
        torch.cat([one["tokens"] for one in batch]),
        torch.cat([one["slots"] for one in batch]),
        mask_token_id=MASK,
        options=options,
        seeds=torch.tensor([one["seed"] for one in batch]),
        sample=torch.arange(len(batch)).repeat_interleave(torch.tensor(rows)),
        row_weight=torch.cat([one["weight"] for one in batch]),
    )


@given(st.lists(samples(), min_size=1, max_size=4), OPTIONS, st.randoms(use_true_random=False))
def test_a_sample_does_not_depend_on_the_batch(batch, options, random):
    together = run_samples(batch, options)
    order = list(range(len(batch)))
    random.shuffle(order)
    shuffled = run_samples([batch[i] for i in order], options)
    ends = list(itertools.accumulate(len(one["tokens"]) for one in batch))
    start_shuffled = 0
    alone_rows = 0
    for i in order:
        rows = len(batch[i]["tokens"])
        alone = run_samples([batch[i]], options)
        alone_rows += alone.row_forwards
        for result, at, start in (
            (together, i, ends[i] - rows),
            (shuffled, order.index(i), start_shuffled),
        ):
            assert torch.equal(result.tokens[start : start + rows], alone.tokens)
            assert result.log_prob[at] == alone.log_prob[0]
            assert result.steps[at] == alone.steps[0]
        start_shuffled += rows
    assert together.row_forwards == shuffled.row_forwards == alone_rows
    assert together.forwards == together.steps.max()


@given(samples(), OPTIONS)
def test_every_slot_is_filled_and_copies_agree(one, options):
    result = run_samples([one], options)
    slots = one["slots"]
    assert torch.equal(result.tokens[slots < 0], one["tokens"][slots < 0])
    for slot in slots[slots >= 0].unique():
        values = result.tokens[slots == slot].unique()
        assert len(values) == 1
        assert 0 <= values.item() < V


def test_blocks_of_decisions_change_nothing(monkeypatch):
    tokens, slots = canvas(7, 6, {0: 0, 2: 1, 3: 1, 5: 2})
    options = {"temperature": 1.0, "order": "entropy"}
    whole = run(toy_predict(), tokens, slots, **options)
    monkeypatch.setattr("promptinfill.diffusion.sampling._BLOCK_ENTRIES", 2 * V)
    blocks = run(toy_predict(), tokens, slots, **options)
    assert torch.equal(whole.tokens, blocks.tokens)
    assert torch.equal(whole.log_prob, blocks.log_prob)


def test_low_precision_logits_are_compared_in_float32():
    tokens, slots = canvas(1, 1, {0: 0})
    logits = torch.tensor([[1.0, 2.0, 0.0, 0.5]], dtype=torch.bfloat16)
    result = run(table_predict(logits), tokens, slots)
    assert result.log_prob.dtype == torch.float32
    assert result.log_prob.item() == pytest.approx(logits.float().log_softmax(1).max().item())


# --- wrong use --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": "best"}, "unknown decoding order 'best': choose one of confidence, .*random"),
        ({"tokens_per_step": 0}, "tokens_per_step is 0"),
        ({"threshold": 0}, "threshold is 0"),
        ({"threshold": 1.5}, "threshold is 1.5"),
        ({"steps": 0}, "steps is 0"),
        ({"pace": "fast"}, "unknown pace .fast.: choose one of even, cosine"),
        ({"entropy_bound": -1.0}, "entropy_bound is -1.0"),
        ({"temperature": -1}, "temperature is -1"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_k": 0}, "top_k is 0"),
        ({"top_p": 0.0}, "top_p is 0.0"),
        ({"top_p": 1.1}, "top_p is 1.1"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(PromptInfillError, match=message):
        SamplingOptions(**options)


def test_wrong_shapes():
    tokens, slots = canvas(2, 3, {0: 0})
    with pytest.raises(ValueError, match="must be one"):
        run(toy_predict(), tokens, slots[:, :2])
    with pytest.raises(ValueError, match="one entry for each of 2 rows"):
        run(toy_predict(), tokens, slots, sample=torch.tensor([0]))
    with pytest.raises(ValueError, match=r"outside 0\.\.0: give it a seed"):
        run(toy_predict(), tokens, slots, seeds=torch.tensor([1]))


def test_a_broken_model_is_named():
    tokens, slots = canvas(2, 3, {0: 0})
    with pytest.raises(ModelError, match="NaN"):
        run(table_predict(torch.full((3, V), torch.nan)), tokens, slots)
    with pytest.raises(ModelError, match="nothing but suppressed tokens"):
        run(toy_predict(), tokens, slots, suppressed=torch.ones(V, dtype=torch.bool))
    with pytest.raises(ModelError, match=r"logits \(6, 6\) for 2 masked positions"):
        run(lambda tokens, rows, masked: torch.zeros(6, V), tokens, slots)
    with pytest.raises(ModelError, match="suppressed covers"):
        run(toy_predict(), tokens, slots, suppressed=torch.zeros(V + 1, dtype=torch.bool))


# --- committing several at once ---------------------------------------------------------------


@given(
    st.integers(1, 12),
    st.integers(1, 15),
    st.sampled_from(sorted(PACES)),
    st.sampled_from(sorted(ORDERS)),
)
def test_a_budget_of_steps_is_kept(holes, steps, pace, order):
    tokens, slots = canvas(3, 14, {column: column for column in range(holes)})
    slots[1, holes // 2 :] = -1  # one with fewer, maybe none
    sizes = (slots >= 0).sum(dim=1)
    counts: list[list[int]] = []
    found = run(
        toy_predict(),
        tokens,
        slots,
        steps=steps,
        pace=pace,
        order=order,
        on_step=lambda step: counts.append(step.samples.bincount(minlength=3).tolist()),
    )
    assert found.steps.tolist() == [min(steps, size) for size in sizes.tolist()] or pace == "cosine"
    assert int(found.steps.max()) <= steps
    for sample, size in enumerate(sizes.tolist()):
        done = 0
        for number, step in enumerate(counts, start=1):
            if done < size:
                assert step[sample] >= 1
            done += step[sample]
            assert done >= size * PACES[pace](min(1, number / steps)) - 1e-6
        assert done == size


def test_a_cosine_pace_commits_few_tokens_first():
    tokens, slots = canvas(1, 16, {column: column for column in range(16)})
    for pace, expected in (("even", [4, 4, 4, 4]), ("cosine", [2, 3, 5, 6])):
        counts: list[int] = []
        run(
            toy_predict(),
            tokens,
            slots,
            steps=4,
            pace=pace,
            on_step=lambda step, counts=counts: counts.append(len(step.slots)),
        )
        assert counts == expected


@given(st.floats(0, 8), st.sampled_from(["confidence", "entropy"]), st.integers(0, 5))
def test_the_entropy_bound_commits_the_longest_run_within_it(bound, order, seed):
    tokens, slots = canvas(2, 7, {column: column for column in range(6)}, seed=seed)
    first: list[StepTrace] = []
    predict = toy_predict(scale=8.0)
    run(
        predict,
        tokens,
        slots,
        entropy_bound=bound,
        order=order,
        on_step=lambda step: first.append(step),
    )
    start = torch.where(slots >= 0, MASK, tokens)
    log_probs = predict(start, torch.arange(2), slots >= 0).log_softmax(dim=1).view(2, 6, V)
    entropy = torch.special.entr(log_probs.exp()).sum(dim=2)
    confidence = log_probs.amax(dim=2).exp()
    for sample in range(2):
        score = confidence[sample] if order == "confidence" else -entropy[sample]
        ranked = score.argsort(descending=True, stable=True).tolist()
        wanted = 1
        for size in range(1, 7):
            taken = entropy[sample, ranked[:size]]
            if float(taken.sum() - taken.max()) <= bound + 1e-5:
                wanted = size
        committed = first[0].slots[first[0].samples == sample].tolist()
        strict = 1
        for size in range(1, 7):
            taken = entropy[sample, ranked[:size]]
            if float(taken.sum() - taken.max()) <= bound - 1e-5:
                strict = size
        assert strict <= len(committed) <= wanted
        assert sorted(ranked[: len(committed)]) == committed


def test_an_entropy_bound_of_nothing_is_one_token_a_step_unless_all_is_certain():
    tokens, slots = canvas(1, 6, {column: column for column in range(5)})
    assert run(toy_predict(), tokens, slots, entropy_bound=0.0).forwards == 5
    certain = run(
        lambda t, r, m: torch.tensor([[60.0] + [0.0] * (V - 1)]).expand(int(m.sum()), -1),
        tokens,
        slots,
        entropy_bound=1e-3,
    )
    assert certain.forwards == 1
