from dataclasses import fields

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from promptinfill.diffusion.masking import (
    POLICIES,
    Spans,
    count_in_own_sequence,
    count_per_sequence,
    excluding_fields,
    forward_process,
    full_sequence,
    mixture,
    parse_policy,
    prompt_only,
    prompt_spans,
    response_only,
    staged,
)
from promptinfill.diffusion.noise import derive_key
from promptinfill.diffusion.schedules import SCHEDULES
from promptinfill.errors import RecipeError

MASK = 99

# A sequence is written as a word: c control, p prompt, f prompt from a field, r response.
SEQUENCE = st.text(alphabet="cpfr", min_size=1, max_size=12)
ROWS = st.lists(st.lists(SEQUENCE, min_size=1, max_size=3), min_size=1, max_size=3)

RANDOM_POLICIES = {
    "response_only": response_only,
    "full_sequence": full_sequence,
    "prompt_only": prompt_only,
    "prompt_spans": prompt_spans(3),
    "uniform_spans": prompt_spans(2, "uniform"),
    "mixture": mixture(
        [(response_only, 1), (mixture([(prompt_spans(2), 1), (prompt_only, 1)]), 2)]
    ),
    "excluding": excluding_fields(mixture([(full_sequence, 1), (prompt_spans(4), 1)])),
}


def make_spans(rows, length=None, left=0):
    """Rows of packed words -> Spans, padded to `length` with `left` of it before the row."""
    length = length or max(len("".join(row)) for row in rows)
    text = [("." * left + "".join(row)).ljust(length, ".") for row in rows]
    number = [
        ([-1] * left + [s for s, word in enumerate(row) for _ in word] + [-1] * length)[:length]
        for row in rows
    ]

    def where(kinds):
        return torch.tensor([[kind in kinds for kind in line] for line in text])

    return Spans(where("pf"), where("r"), where("f"), torch.tensor(number))


def make_keys(spans, identities):
    """Token keys from one identity per sequence, given row by row."""
    table = torch.zeros(len(identities), 1 + max(map(len, identities)), dtype=torch.int64)
    for row, ids in enumerate(identities):
        table[row, 1 : len(ids) + 1] = torch.tensor(ids)
    return derive_key(table.gather(1, spans.sequence + 1), 1)


def one_per_row(words, copies, length=None):
    """`copies` rows of the same word, each with its own key."""
    spans = make_spans([[words]] * copies, length)
    return spans, make_keys(spans, [[i] for i in range(copies)])


def test_positions_restart_in_each_packed_sequence():
    spans = make_spans([["cpr", "pprr"], ["pr"]], length=9)
    assert spans.positions()[0, :7].tolist() == [0, 1, 2, 0, 1, 2, 3]
    assert make_spans([["ppr"]], length=6, left=2).positions()[0, 2:5].tolist() == [0, 1, 2]


@given(ROWS)
def test_counts_per_sequence(rows):
    spans = make_spans(rows)
    counts = count_per_sequence(spans.prompt, spans.sequence)
    own = count_in_own_sequence(spans.prompt, spans.sequence)
    for b, row in enumerate(rows):
        expected = [sum(kind in "pf" for kind in word) for word in row]
        assert counts[b, : len(row)].tolist() == expected[: counts.shape[1]]
        assert not counts[b, len(row) :].any()
        flat = [n for n, word in zip(expected, row, strict=True) for _ in word]
        assert own[b, : len(flat)].tolist() == flat


def test_the_plain_policies():
    spans = make_spans([["cpfrr", "pr"]], length=8)
    keys = make_keys(spans, [[1, 2]])

    def eligible(policy):
        return "".join("x" if e else "-" for e in policy(spans, keys)[0])

    assert eligible(response_only) == "---xx-x-"
    assert eligible(full_sequence) == "-xxxxxx-"
    assert eligible(prompt_only) == "-xx--x--"
    assert eligible(excluding_fields(full_sequence)) == "-x-xxxx-"


@pytest.mark.parametrize("name", RANDOM_POLICIES)
@given(rows=ROWS, extra=st.integers(0, 3), left=st.integers(0, 3))
def test_packing_padding_and_neighbours_change_nothing(name, rows, extra, left):
    """Each sequence alone, shifted and padded, is treated as in its packed row."""
    policy = RANDOM_POLICIES[name]
    spans = make_spans(rows)
    identities = [[10 * b + s for s in range(len(row))] for b, row in enumerate(rows)]
    keys = make_keys(spans, identities)
    eligible = policy(spans, keys)
    ids = torch.arange(eligible.numel()).view(eligible.shape) + 100
    noised, masked = forward_process(
        ids, eligible, torch.tensor(0.5), keys, spans.positions(), MASK
    )
    assert not (eligible & ~(spans.prompt | spans.response)).any()
    assert not (masked & ~eligible).any()
    assert torch.equal(noised, torch.where(masked, MASK, ids))

    alone = [word for row in rows for word in row]
    length = left + extra + max(map(len, alone))
    spans_alone = make_spans([[word] for word in alone], length, left)
    keys_alone = make_keys(spans_alone, [[i] for ids_ in identities for i in ids_])
    eligible_alone = policy(spans_alone, keys_alone)
    _, masked_alone = forward_process(
        torch.zeros_like(keys_alone),
        eligible_alone,
        torch.tensor(0.5),
        keys_alone,
        spans_alone.positions(),
        MASK,
    )
    index = 0
    for b, row in enumerate(rows):
        start = 0
        for word in row:
            here, there = slice(start, start + len(word)), slice(left, left + len(word))
            assert torch.equal(eligible[b, here], eligible_alone[index, there])
            assert torch.equal(masked[b, here], masked_alone[index, there])
            start, index = start + len(word), index + 1


@pytest.mark.parametrize("lengths", ["geometric", "uniform"])
@given(rows=ROWS, seed=st.integers(0, 1000))
def test_prompt_spans_are_one_run_of_prompt_tokens(lengths, rows, seed):
    spans = make_spans(rows)
    keys = make_keys(spans, [[seed + 10 * b + s for s in range(3)] for b in range(len(rows))])
    eligible = prompt_spans(3, lengths)(spans, keys)
    for b, row in enumerate(rows):
        for s, word in enumerate(row):
            prompt_of_it = spans.prompt[b] & (spans.sequence[b] == s)
            flags = eligible[b][prompt_of_it].tolist()
            assert flags.count(True) >= min(1, len(flags)), word
            run = "".join("x" if flag else "-" for flag in flags).strip("-")
            assert "-" not in run
    assert not (eligible & ~spans.prompt).any()


@pytest.mark.parametrize(
    ("lengths", "mean", "expected"),
    [
        ("geometric", 4, lambda n: 0.25 * 0.75 ** (n - 1)),
        ("uniform", 4, lambda n: float(n <= 7) / 7),
        ("geometric", 1, lambda n: float(n == 1)),
    ],
)
def test_span_lengths_follow_their_distribution(lengths, mean, expected):
    spans, keys = one_per_row("p" * 60, 20_000)
    length = prompt_spans(mean, lengths)(spans, keys).sum(dim=1)
    chances = torch.tensor([expected(n) for n in range(1, 9)], dtype=torch.float64)
    observed = torch.stack([(length == n).sum() for n in range(1, 9)])
    rest = [len(length) - observed.sum().item(), len(length) * (1 - chances.sum().item())]
    keep = chances > 0
    counts = [*observed[keep].tolist(), *([rest[0]] if rest[1] > 1 else [])]
    means = [*(chances[keep] * len(length)).tolist(), *([rest[1]] if rest[1] > 1 else [])]
    assert not observed[~keep].any()
    if len(counts) > 1:
        assert stats.chisquare(counts, means, sum_check=False).pvalue > 1e-3
    else:
        assert counts == means


def test_span_starts_are_uniform_among_those_that_fit():
    spans, keys = one_per_row("p" * 5, 30_000)
    eligible = prompt_spans(3, "uniform")(spans, keys)
    twos = eligible[eligible.sum(dim=1) == 2]
    starts = twos.int().argmax(dim=1).bincount(minlength=4)
    assert stats.chisquare(starts.numpy()).pvalue > 1e-3


def test_a_mixture_draws_one_policy_per_sequence_by_weight():
    spans, keys = one_per_row("ppprrr", 20_000)
    eligible = mixture([(response_only, 3), (prompt_only, 1)])(spans, keys)
    is_response = eligible[:, 3]
    assert torch.equal(eligible, torch.where(is_response[:, None], spans.response, spans.prompt))
    assert stats.binomtest(int(is_response.sum()), 20_000, 0.75).pvalue > 1e-3


def test_a_mixture_in_a_mixture_draws_independently():
    spans, keys = one_per_row("pr", 20_000)
    inner = mixture([(prompt_only, 1), (full_sequence, 1)])
    eligible = mixture([(inner, 1), (response_only, 1)])(spans, keys)
    counts = (eligible.int() * torch.tensor([2, 1])).sum(dim=1).bincount(minlength=4)
    assert counts[0] == 0
    assert stats.chisquare(counts[1:].numpy(), [10_000, 5_000, 5_000]).pvalue > 1e-3


def test_a_weight_of_zero_is_never_drawn():
    spans, keys = one_per_row("pr", 2000)
    eligible = mixture([(prompt_only, 0), (response_only, 1), (full_sequence, 0)])(spans, keys)
    assert torch.equal(eligible, spans.response)


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_expected_mask_rate_is_p_of_t(name):
    spans, keys = one_per_row("pr" * 20, 1000)
    eligible = full_sequence(spans, keys)
    times = torch.linspace(0.05, 0.95, 10).repeat(100)
    rate = SCHEDULES[name].mask_rate(times)
    _, masked = forward_process(
        torch.zeros_like(keys), eligible, rate[:, None], keys, spans.positions(), MASK
    )
    for p, count in zip(rate[:10], masked.view(100, 10, 40).sum(dim=(0, 2)), strict=True):
        assert stats.binomtest(int(count), 4000, float(p)).pvalue > 1e-4


def test_masks_are_independent_between_tokens():
    spans, keys = one_per_row("pppp", 20_000)
    _, masked = forward_process(
        torch.zeros_like(keys), spans.prompt, torch.tensor(0.5), keys, spans.positions(), MASK
    )
    pattern = (masked.int() * torch.tensor([8, 4, 2, 1])).sum(dim=1).bincount(minlength=16)
    assert stats.chisquare(pattern.numpy()).pvalue > 1e-3


def test_the_ends_of_time():
    spans, keys = one_per_row("cpr", 500)
    eligible, position = full_sequence(spans, keys), spans.positions()
    ids = torch.zeros_like(keys)
    assert torch.equal(
        forward_process(ids, eligible, torch.tensor(1.0), keys, position, MASK)[1], eligible
    )
    assert not forward_process(ids, eligible, torch.tensor(0.0), keys, position, MASK)[1].any()


def test_stages_change_at_their_fractions():
    policy_at = staged([(0.25, prompt_only), (0.5, full_sequence), (1, response_only)])
    assert [policy_at(p) for p in (0, 0.2499, 0.25, 0.49, 0.5, 1)] == [
        prompt_only,
        prompt_only,
        full_sequence,
        full_sequence,
        response_only,
        response_only,
    ]


def test_specs_mean_what_they_say():
    spans, keys = one_per_row("cpppffffprrr", 50)

    def same(spec, policy, progress=0.0):
        assert torch.equal(parse_policy(spec)(progress)(spans, keys), policy(spans, keys))

    for name, policy in POLICIES.items():
        same(name, policy)
        same(name.replace("_", "-"), policy)
    same({"prompt_spans": {"mean_length": 2}}, prompt_spans(2))
    same({"prompt-spans": {"mean_length": 2.5, "lengths": "uniform"}}, prompt_spans(2.5, "uniform"))
    same({"excluding_fields": "full_sequence"}, excluding_fields(full_sequence))
    half = mixture([(response_only, 0.5), (full_sequence, 0.5)])
    same({"mixture": {"response_only": 0.5, "full-sequence": 0.5}}, half)
    nested = {
        "mixture": [
            {"policy": {"excluding_fields": {"prompt_spans": {"mean_length": 3}}}, "weight": 2},
            {"policy": "response_only", "weight": 1},
        ]
    }
    same(nested, mixture([(excluding_fields(prompt_spans(3)), 2), (response_only, 1)]))
    stages = {"stages": [{"until": 0.5, "policy": "full_sequence"}, {"until": 1, "policy": nested}]}
    same(stages, full_sequence, 0.49)
    same(stages, parse_policy(nested)(0), 0.5)
    inside = {"mixture": [{"policy": stages, "weight": 1}]}
    same(inside, mixture([(full_sequence, 1)]), 0.1)
    same(inside, mixture([(parse_policy(nested)(0), 1)]), 0.9)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "everything",
            r"unknown masking policy 'everything': choose one of response_only, .*stage",
        ),
        ({"everything": 1}, "unknown masking policy 'everything'"),
        (7, "a name or a mapping with one key; got 7"),
        ({"mixture": {}, "stages": []}, "mapping with one key"),
        ({"mixture": {}}, "at least one policy"),
        ({"mixture": {"prompt_only": -1}}, "weights are -1"),
        ({"mixture": {"prompt_only": 0}}, "at least one above 0"),
        ({"mixture": {"prompt_only": float("nan")}}, "weights are nan"),
        ({"mixture": {"prompt_only": "much"}}, "weight must be a number; got 'much'"),
        ({"mixture": {"prompt_only": True}}, "weight must be a number"),
        ({"mixture": "prompt_only"}, "expected a list of policy, weight"),
        ({"mixture": [{"policy": "prompt_only"}]}, "has no 'weight'"),
        ({"prompt_spans": {"mean_length": 0.5}}, "mean_length is 0.5"),
        ({"prompt_spans": {"mean": 5}}, "unknown key 'mean'; known are mean_length, lengths"),
        ({"prompt_spans": {"lengths": "zipf"}}, "choose geometric or uniform"),
        ({"prompt_spans": 6}, "expected a mapping"),
        ({"excluding_fields": "nothing"}, "unknown masking policy 'nothing'"),
        ({"stages": []}, "must run until 1"),
        ({"stages": [{"until": 0.5, "policy": "prompt_only"}]}, r"until = \[0.5\]"),
        (
            {
                "stages": [
                    {"until": 0.5, "policy": "prompt_only"},
                    {"until": 0.5, "policy": "prompt_only"},
                    {"until": 1, "policy": "prompt_only"},
                ]
            },
            "must rise",
        ),
        ({"stages": [{"until": 1, "policy": {"mixture": {}}}]}, "at least one policy"),
    ],
)
def test_broken_specs_fail_when_parsed(spec, message):
    with pytest.raises(RecipeError, match=message):
        parse_policy(spec)


def test_spans_move_between_devices():
    moved = make_spans([["pr"]]).to("meta")
    assert all(getattr(moved, f.name).device.type == "meta" for f in fields(moved))
