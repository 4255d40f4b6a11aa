import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from promptinfill.diffusion.likelihood import conditional_log_likelihood, elbo
from promptinfill.diffusion.masking import Spans
from promptinfill.diffusion.objective import LossWeights, diffusion_loss, masked_cross_entropy
from promptinfill.diffusion.schedules import SCHEDULES, get_schedule
from promptinfill.errors import PromptInfillError

V = MASK = 3
STATES = torch.cartesian_prod(*[torch.arange(V)] * 3)


def random_joint(seed=0):
    logits = torch.randn(3, 3, 3, generator=torch.Generator().manual_seed(seed)).double()
    return (1.5 * logits).flatten().softmax(0).view(3, 3, 3)


def exact_predict(joint):
    """The exact conditionals of a joint distribution over three tokens of three values."""
    one_hot = torch.nn.functional.one_hot(STATES, V).double()

    def predict(tokens, rows, masked):
        agrees = (masked[:, None, :] | (tokens[:, None, :] == STATES)).all(dim=2)
        return torch.einsum("bs,slv->blv", agrees * joint.flatten(), one_hot)[masked].log()

    return predict


def arbitrary_predict(seed=1):
    """A model whose conditionals belong to no distribution: its bound is strict."""
    table = torch.randn(4, 4, 4, 3, V, generator=torch.Generator().manual_seed(seed)) * 1.5

    def predict(tokens, rows, masked):
        return table[tokens[:, 0], tokens[:, 1], tokens[:, 2]][masked]

    return predict


def sum_over_masked(predict, x, subset):
    """sum over i in subset of log p(x_i | x without the subset), by one call of the model."""
    masked = torch.zeros(1, 3, dtype=torch.bool)
    masked[0, list(subset)] = True
    logits = predict(x[None].masked_fill(masked, MASK), torch.tensor([0]), masked)
    return -masked_cross_entropy(logits, x[None][masked]).sum().item()


def subsets(positions):
    return [
        subset
        for size in range(1, len(positions) + 1)
        for subset in itertools.combinations(positions, size)
    ]


def bound_by_count(predict, x, positions):
    """E_k E_S [n/k * ...] over every subset."""
    n = len(positions)
    return sum(
        (1 / n)
        / math.comb(n, len(subset))
        * (n / len(subset))
        * sum_over_masked(predict, x, subset)
        for subset in subsets(positions)
    )


def any_order(predict, x, positions):
    """Mean over all orders of the chain rule's sum: the bound's other face."""
    orders = list(itertools.permutations(positions))
    total = 0.0
    for order in orders:
        for i in range(len(order)):
            masked = torch.zeros(1, 3, dtype=torch.bool)
            masked[0, list(order[i:])] = True
            logits = predict(x[None].masked_fill(masked, MASK), torch.tensor([0]), masked)
            at = masked[0].nonzero().flatten().tolist().index(order[i])
            total += logits[at].log_softmax(0)[x[order[i]]].item()
    return total / len(orders)


def exact_log_p(joint, x, positions):
    agrees = torch.ones(27, dtype=torch.bool)
    for i in set(range(3)) - set(positions):
        agrees &= STATES[:, i] == x[i]
    return (joint[tuple(x)] / joint.flatten()[agrees].sum()).log().item()


CASES = [(0, 1, 2), (1, 2), (0,)]


@pytest.mark.parametrize("positions", CASES)
def test_the_bound_of_exact_conditionals_is_the_log_likelihood(positions):
    joint = random_joint()
    for x in STATES[::5]:
        expected = exact_log_p(joint, x, positions)
        assert bound_by_count(exact_predict(joint), x, positions) == pytest.approx(
            expected, rel=1e-5
        )


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("model", ["exact", "arbitrary"])
def test_the_training_loss_is_the_bound_per_token_under_every_schedule(name, model):
    """All masks enumerated, time integrated by quadrature: loss * n = -bound, for any model."""
    predict = exact_predict(random_joint()) if model == "exact" else arbitrary_predict()
    schedule = get_schedule(name)
    nodes, node_weights = np.polynomial.legendre.leggauss(200)
    times, node_weights = torch.tensor((nodes + 1) / 2), torch.tensor(node_weights / 2)
    rate, weight = schedule.mask_rate(times), schedule.weight(times)
    everything = torch.ones(1, 3, dtype=torch.bool)
    spans = Spans(~everything, everything, ~everything, torch.zeros(1, 3, dtype=torch.int64))
    for x in STATES[::6]:
        expected_loss = 0.0
        for subset in subsets((0, 1, 2)):
            masked = torch.zeros(1, 3, dtype=torch.bool)
            masked[0, list(subset)] = True
            logits = predict(x[None].masked_fill(masked, MASK), torch.tensor([0]), masked)
            token_loss = masked_cross_entropy(logits, x[None][masked])
            loss = diffusion_loss(
                token_loss, masked, everything, spans, torch.ones(1, 1), LossWeights()
            )
            k = len(subset)
            chance = rate**k * (1 - rate) ** (3 - k)
            expected_loss += (node_weights * chance * weight).sum().item() * loss.total.item()
        expected = -bound_by_count(predict, x, (0, 1, 2)) / 3
        # log_linear ends at mask rate 1 - 1e-3; the others are exact up to float32.
        tolerance = 3e-3 if name == "log_linear" else 1e-5
        assert expected_loss == pytest.approx(expected, rel=tolerance)


def test_the_bound_is_the_mean_over_orders_for_any_model():
    predict = arbitrary_predict()
    for x in STATES[::7]:
        assert any_order(predict, x, (0, 1, 2)) == pytest.approx(
            bound_by_count(predict, x, (0, 1, 2)), rel=1e-5
        )


@pytest.mark.parametrize(
    ("method", "schedule", "stratified"),
    [
        ("count", "linear", True),
        ("count", "linear", False),
        ("time", "linear", True),
        ("time", "linear", False),
        ("time", "cosine", True),
        ("time", "log_linear", True),
    ],
)
def test_estimates_agree_with_enumeration_within_their_error(method, schedule, stratified):
    predict = arbitrary_predict()
    tokens = STATES[[1, 5, 11, 26]]
    eligible = torch.tensor([[1, 1, 1], [0, 1, 1], [1, 1, 1], [1, 0, 0]]).bool()
    estimate = elbo(
        predict,
        tokens,
        eligible,
        mask_token_id=MASK,
        keys=torch.arange(4),
        samples=4000,
        method=method,
        schedule=get_schedule(schedule),
        stratified=stratified,
        rows_per_call=4096,
    )
    expected = [
        bound_by_count(predict, x, tuple(e.nonzero().flatten().tolist()))
        for x, e in zip(tokens, eligible, strict=True)
    ]
    error = (estimate.mean - torch.tensor(expected)).abs()
    assert (error <= 4 * estimate.standard_error + 1e-6).all()
    assert estimate.samples == 4000
    assert (estimate.standard_error < 0.2).all()


def test_the_standard_error_is_the_spread_of_estimates():
    """Independent keys, unstratified: estimates scatter as their standard error says."""
    tokens = STATES[5].expand(400, 3)
    estimate = elbo(
        arbitrary_predict(),
        tokens,
        torch.ones(400, 3, dtype=torch.bool),
        mask_token_id=MASK,
        keys=torch.arange(400),
        samples=50,
        stratified=False,
        rows_per_call=20_000,
    )
    ratio = estimate.mean.std() / estimate.standard_error.square().mean().sqrt()
    assert 0.85 < ratio < 1.15


def test_counting_and_stratifying_lower_the_variance():
    tokens = STATES[5].expand(300, 3)

    def scatter(**options):
        return elbo(
            arbitrary_predict(),
            tokens,
            torch.ones(300, 3, dtype=torch.bool),
            mask_token_id=MASK,
            keys=torch.arange(300),
            samples=24,
            rows_per_call=8192,
            **options,
        ).mean.std()

    independent = scatter(method="count", stratified=False)
    assert scatter(method="count") < independent
    assert independent < scatter(method="time", stratified=False)


def test_a_single_eligible_token_needs_no_luck():
    joint = random_joint()
    x = STATES[14]
    estimate = elbo(
        exact_predict(joint),
        x[None],
        torch.tensor([[False, True, False]]),
        mask_token_id=MASK,
        keys=torch.tensor([3]),
        samples=5,
    )
    assert estimate.mean.item() == pytest.approx(exact_log_p(joint, x, (1,)), rel=1e-5)
    assert estimate.standard_error.item() == pytest.approx(0, abs=1e-9)


def test_rows_without_eligible_tokens_are_certain():
    estimate = elbo(
        arbitrary_predict(),
        STATES[:2],
        torch.tensor([[False] * 3, [True] * 3]),
        mask_token_id=MASK,
        keys=torch.arange(2),
        samples=4,
    )
    assert estimate.mean[0] == 0
    assert estimate.standard_error[0] == 0
    assert estimate.mean[1] < 0


def hash_predict(tokens, rows, masked):
    """Depends on a row's non-padding tokens only, not on where padding stands."""
    content = torch.where(tokens == 4, 0, tokens + 1)
    number = (tokens != 4).cumsum(dim=1)
    code = (content * 5**number).sum(dim=1)
    angle = code[:, None, None] * 0.37 + number[:, :, None] * 1.3 + torch.arange(V) * 2.1
    return torch.sin(angle)[masked]


@given(
    st.lists(
        st.tuples(
            st.lists(st.tuples(st.integers(0, V - 1), st.booleans()), min_size=1, max_size=4),
            st.integers(0, 2**40),
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from(["count", "time"]),
    st.booleans(),
    st.integers(1, 9),
    st.integers(0, 2),
)
def test_an_estimate_depends_on_its_row_and_key_alone(batch, method, stratified, size, left):
    def estimate(sequences, left, rows_per_call):
        width = left + max(len(sequence) for sequence, _ in sequences)
        tokens = torch.full((len(sequences), width), 4)  # 4 is padding
        eligible = torch.zeros(len(sequences), width, dtype=torch.bool)
        for b, (sequence, _) in enumerate(sequences):
            for i, (token, is_eligible) in enumerate(sequence):
                tokens[b, left + i], eligible[b, left + i] = token, is_eligible
        return elbo(
            hash_predict,
            tokens,
            eligible,
            mask_token_id=MASK,
            keys=torch.tensor([key for _, key in sequences]),
            samples=3,
            method=method,
            stratified=stratified,
            rows_per_call=rows_per_call,
        )

    together = estimate(batch, left, size)
    for b, one in enumerate(batch):
        alone = estimate([one], 0, 64)
        torch.testing.assert_close(together.mean[b], alone.mean[0])
        torch.testing.assert_close(together.standard_error[b], alone.standard_error[0])


def test_conditional_log_likelihood_is_of_the_response():
    joint = random_joint(4)
    x = STATES[[7, 19]]
    response = torch.tensor([[False, True, True]] * 2)
    spans = Spans(
        ~response, response, torch.zeros_like(response), torch.zeros(2, 3, dtype=torch.int64)
    )
    estimate = conditional_log_likelihood(
        exact_predict(joint), x, spans, mask_token_id=MASK, keys=torch.arange(2), samples=2000
    )
    expected = torch.tensor([exact_log_p(joint, row, (1, 2)) for row in x]).double()
    assert ((estimate.mean - expected).abs() < 4 * estimate.standard_error).all()


def test_wrong_use():
    arguments = (arbitrary_predict(), STATES[:2], torch.ones(2, 3, dtype=torch.bool))
    keys = torch.arange(2)
    with pytest.raises(PromptInfillError, match="samples is 0"):
        elbo(*arguments, mask_token_id=MASK, keys=keys, samples=0)
    with pytest.raises(PromptInfillError, match="unknown likelihood method 'exact'"):
        elbo(*arguments, mask_token_id=MASK, keys=keys, method="exact")
    with pytest.raises(ValueError, match="one key per row"):
        elbo(*arguments, mask_token_id=MASK, keys=keys[:1])
    assert elbo(*arguments, mask_token_id=MASK, keys=keys, samples=1).standard_error.tolist() == [
        math.inf,
        math.inf,
    ]


def test_antithetic_draws_agree_with_enumeration_within_their_error():
    x, model = torch.tensor([[2, 0, 1]]), arbitrary_predict()
    eligible = torch.ones(1, 3, dtype=torch.bool)
    how = {"mask_token_id": MASK, "rows_per_call": 4096}
    plain = elbo(model, x, eligible, keys=torch.tensor([5]), samples=40_000, **how)
    for method in ("count", "time"):
        found = elbo(
            model,
            x,
            eligible,
            keys=torch.tensor([6]),
            samples=40_000,
            method=method,
            antithetic=True,
            **how,
        )
        error = math.hypot(float(plain.standard_error), float(found.standard_error))
        assert abs(float(found.mean - plain.mean)) < 4 * error


def test_antithetic_draws_lower_the_variance_of_the_mean():
    """A model that finds one token hard: either draw of a pair masks it, rarely both or none."""

    def predict(tokens, rows, masked):
        hard = torch.tensor([8.0, 0.0, 0.0, 0.0, 0.0, 0.0])
        logits = torch.zeros(*tokens.shape, V)
        logits[:, :, 0] = -hard
        return logits[masked]

    x, eligible = torch.zeros(400, 6, dtype=torch.int64), torch.ones(400, 6, dtype=torch.bool)
    spread = {
        antithetic: elbo(
            predict,
            x,
            eligible,
            mask_token_id=MASK,
            keys=torch.arange(400),
            samples=8,
            antithetic=antithetic,
            rows_per_call=4096,
        ).mean.std()
        for antithetic in (False, True)
    }
    assert spread[True] < 0.9 * spread[False]


def test_rows_that_share_a_key_are_compared_on_the_same_masks():
    """One answer after two prompts of unequal length: the masks agree, and so the paired error of a
    constant difference is 0 while the separate ones are not."""
    seen = {}

    def predict(tokens, rows, masked):
        for row, mask in zip(rows.tolist(), masked, strict=True):
            seen.setdefault(row, []).append(mask[-3:].tolist())
        logits = torch.zeros(*tokens.shape, V)
        logits[:, -3:, 1] = torch.tensor([0.0, 3.0, 6.0])
        return logits[masked]

    tokens = torch.tensor([[0, 0, 1, 1, 1], [2, 0, 1, 1, 1]])
    eligible = torch.tensor([[False, False, True, True, True]] * 2)
    found = elbo(
        predict, tokens, eligible, mask_token_id=MASK, keys=torch.tensor([3, 3]), samples=16
    )
    assert seen[0] == seen[1]
    mean, error = found.difference(0, 1)
    assert mean == error == 0
    assert float(found.standard_error[0]) > 0
    other = elbo(
        predict, tokens, eligible, mask_token_id=MASK, keys=torch.tensor([3, 4]), samples=16
    )
    assert other.difference(0, 1)[1] > 0
