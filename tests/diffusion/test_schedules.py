import pytest
import torch
from scipy import stats

from promptinfill.diffusion.noise import derive_key
from promptinfill.diffusion.schedules import SCHEDULES, get_schedule, sample_times
from promptinfill.errors import RecipeError

TIMES = torch.linspace(1e-3, 1, 500, dtype=torch.float64)


@pytest.fixture(params=list(SCHEDULES))
def schedule(request):
    return get_schedule(request.param)


def test_alpha_falls_from_clean_to_masked(schedule):
    ends = schedule.alpha(torch.tensor([0.0, 1.0], dtype=torch.float64))
    assert ends[0].item() == pytest.approx(1, abs=1e-12)
    assert ends[1].item() == pytest.approx(0, abs=1.1e-3)
    assert (schedule.alpha(TIMES).diff() < 0).all()


def test_alpha_prime_is_the_derivative(schedule):
    t = TIMES.clone().requires_grad_()
    (slope,) = torch.autograd.grad(schedule.alpha(t).sum(), t)
    torch.testing.assert_close(schedule.alpha_prime(TIMES), slope)


def test_weight_is_the_derivative_of_the_log_mask_rate(schedule):
    t = TIMES.clone().requires_grad_()
    (slope,) = torch.autograd.grad(schedule.mask_rate(t).log().sum(), t)
    torch.testing.assert_close(schedule.weight(TIMES), slope)


def test_known_forms():
    torch.testing.assert_close(get_schedule("linear").mask_rate(TIMES), TIMES)
    torch.testing.assert_close(get_schedule("linear").weight(TIMES), 1 / TIMES)
    log_linear = get_schedule("log-linear")
    torch.testing.assert_close(log_linear.mask_rate(TIMES), (1 - 1e-3) * TIMES)
    torch.testing.assert_close(log_linear.weight(TIMES), 1 / TIMES)
    half = torch.tensor(0.5)
    assert get_schedule("cosine").mask_rate(half).item() == pytest.approx(0.5**0.5)


def test_float32_is_accurate_at_the_smallest_training_time(schedule):
    t = torch.tensor([1e-3])
    torch.testing.assert_close(
        schedule.weight(t).double(), schedule.weight(t.double()), rtol=1e-3, atol=0
    )


def test_unknown_name_lists_the_known():
    with pytest.raises(RecipeError, match=r"'quadratic'.*linear, cosine, log_linear"):
        get_schedule("quadratic")


def test_times_are_uniform():
    times = sample_times(torch.arange(50_000), eps=0.1)
    assert times.dtype == torch.float32
    assert times.min() >= 0.1
    assert times.max() <= 1
    assert stats.kstest((times.double().numpy() - 0.1) / 0.9, "uniform").pvalue > 1e-3


def test_times_never_reach_zero():
    assert sample_times(torch.arange(200_000), eps=0).min() > 0


def test_times_take_any_shape():
    keys = torch.tensor([[5, 5, 6], [7, 6, 6]])
    times = sample_times(keys)
    assert times[0, 0] == times[0, 1]
    assert times[0, 2] == times[1, 1] == times[1, 2]
    assert len(times.unique()) == 3


@pytest.mark.parametrize("n", [1, 2, 7, 64])
def test_stratified_times_fill_every_stratum(n):
    times = sample_times(derive_key(torch.arange(n), 3), eps=0, stratified=True)
    gaps = torch.cat([times.sort().values, times.min()[None] + 1]).diff()
    torch.testing.assert_close(gaps, torch.full((n,), 1 / n), rtol=0, atol=1e-6)


def test_stratified_times_are_uniform_and_follow_their_keys():
    batches = [
        sample_times(derive_key(torch.arange(4), b), 0, stratified=True) for b in range(4000)
    ]
    first = torch.stack(batches)[:, 0]
    assert stats.kstest(first.double().numpy(), "uniform").pvalue > 1e-3
    keys = derive_key(torch.arange(8), 1)
    shuffled = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        sample_times(keys, stratified=True)[shuffled],
        sample_times(keys[shuffled], stratified=True),
    )


def test_wrong_use():
    with pytest.raises(RecipeError, match="eps is 1"):
        sample_times(torch.arange(2), eps=1)
    with pytest.raises(ValueError, match="one per sequence"):
        sample_times(torch.zeros(2, 3, dtype=torch.int64), stratified=True)


def test_empty_batch():
    assert sample_times(torch.arange(0), stratified=True).shape == (0,)
