"""The budget is exact: a pair costs one metric call, once, and nothing goes beyond."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer_helpers import BLOCK, TASK, PlainScripted
from promptinfill.infilling.candidates import Candidate
from promptinfill.infilling.selection import SelectionOptions, select
from promptinfill.optimizers.scorer import BudgetSpentError, Scorer, affordable, race_price

PROMPTS = [f"{word} the letter{BLOCK}" for word in ("Write", "write", "list", "sort", "Input")]


def scorer(budget: int) -> Scorer:
    return Scorer(
        TASK.validation, len(TASK.validation), "output", PlainScripted(), TASK.metric, 3, budget
    )


def test_a_pair_is_answered_once_and_costs_once():
    made = scorer(100)
    first = made.validate(PROMPTS[0])
    assert made.validate(PROMPTS[0]) == first
    assert made.metric_calls == 8 == len(made.target.seen)
    assert made.cost.model_calls == 8


def test_more_than_the_budget_is_refused_before_anything_is_asked():
    made = scorer(10)
    made.validate(PROMPTS[0])
    with pytest.raises(BudgetSpentError, match="8 more metric calls asked for, 2 of 10 left"):
        made.validate(PROMPTS[1])
    assert len(made.target.seen) == 8


@pytest.mark.parametrize("budget", [0, 7, 8, 9, 20, 33])
def test_a_race_stays_within_its_budget(budget):
    made = scorer(budget)
    ranked = made.race(PROMPTS, budget)
    assert made.metric_calls <= budget
    assert bool(ranked) == (budget >= 8)
    if ranked:
        assert made.validated()[0] == (ranked[0].prompt, ranked[0].score)


@given(st.integers(1, 40), st.integers(1, 50), st.integers(1, 10), st.floats(0.1, 1))
def test_the_price_of_a_race_is_what_select_asks_for(count, num_rows, first, keep):
    options = SelectionOptions(first_rows=first, keep=keep)
    asked = []
    racers = [Candidate(i, [], str(i), i, {}, 0.0) for i in range(count)]

    def score(pairs):
        asked.extend(pairs)
        return [float(c.number % 3) for c, _ in pairs]

    select(racers, num_rows, score, options)
    price = race_price(count, num_rows, options)
    assert price == len(asked)
    assert affordable(price, num_rows, options) >= count
    assert affordable(price - 1, num_rows, options) < count
