"""Successive halving: who wins, what it costs, and that the comparison is fair."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptinfill.errors import PromptInfillError
from promptinfill.infilling.candidates import Candidate
from promptinfill.infilling.selection import SelectionOptions, rank_key, select


def candidate(number, tokens=5):
    return Candidate(number, [str(number)], str(number), tokens, {}, 0.0)


class Table:
    """Scores by (number, row); remembers the rounds."""

    def __init__(self, values):
        self.values = values
        self.rounds = []

    def __call__(self, pairs):
        self.rounds.append([(c.number, row) for c, row in pairs])
        return [self.values(c.number, row) for c, row in pairs]

    @property
    def spent(self):
        return sum(map(len, self.rounds))


options_of = st.builds(
    SelectionOptions,
    first_rows=st.integers(1, 12),
    keep=st.sampled_from([0.25, 0.5, 0.75, 1.0]),
    exhaustive=st.booleans(),
)


@given(
    qualities=st.lists(st.integers(0, 10), min_size=1, max_size=12),
    lengths=st.lists(st.integers(1, 4), min_size=12, max_size=12),
    num_rows=st.integers(1, 40),
    options=options_of,
)
def test_the_best_of_an_oracle_wins_ties_to_the_shorter_then_the_earlier(
    qualities, lengths, num_rows, options
):
    candidates = [candidate(i, lengths[i]) for i in range(len(qualities))]
    ranked = select(candidates, num_rows, Table(lambda n, row: qualities[n] / 10), options)
    expected = min(range(len(qualities)), key=lambda i: (-qualities[i], lengths[i], i))
    assert ranked[0].number == expected
    assert len(ranked[0].scores) == num_rows
    assert sorted(c.number for c in ranked) == list(range(len(qualities)))


@given(
    bits=st.lists(st.lists(st.booleans(), min_size=20, max_size=20), min_size=1, max_size=9),
    num_rows=st.integers(1, 20),
    options=options_of,
)
def test_every_candidate_of_a_round_meets_the_same_rows_once(bits, num_rows, options):
    candidates = [candidate(i) for i in range(len(bits))]
    table = Table(lambda n, row: float(bits[n][row]))
    ranked = select(candidates, num_rows, table, options)
    seen = 0
    for pairs in table.rounds:
        by_number = {}
        for number, row in pairs:
            by_number.setdefault(number, []).append(row)
        rows = next(iter(by_number.values()))
        assert all(other == rows for other in by_number.values())
        assert rows == list(range(seen, seen + len(rows)))
        seen += len(rows)
    assert seen == num_rows
    for c in ranked:  # each candidate's scores are its own
        assert c.scores == [float(b) for b in bits[c.number][: len(c.scores)]]
    assert table.spent <= len(bits) * num_rows
    rows_met = [len(c.scores) for c in ranked]
    assert rows_met == sorted(rows_met, reverse=True)  # survivors stand ahead
    finalists = [c for c in ranked if len(c.scores) == num_rows]
    assert finalists == sorted(finalists, key=rank_key)


@given(num_candidates=st.integers(2, 20), num_rows=st.integers(9, 60))
def test_halving_costs_less_than_trying_everything(num_candidates, num_rows):
    table = Table(lambda n, row: n / 100)
    select([candidate(i) for i in range(num_candidates)], num_rows, table, SelectionOptions())
    assert table.spent < num_candidates * num_rows


def test_sixteen_candidates_on_twenty_four_rows():
    table = Table(lambda n, row: n / 100)
    ranked = select([candidate(i) for i in range(16)], 24, table, SelectionOptions())
    # 8 rows for all, 8 more for half, 8 more for a quarter
    assert [len(pairs) for pairs in table.rounds] == [16 * 8, 8 * 8, 4 * 8]
    # All come back, those that lasted longer ahead, each round's by rank.
    assert [c.number for c in ranked] == list(range(15, -1, -1))
    assert [len(c.scores) for c in ranked] == [24] * 4 + [16] * 4 + [8] * 8


@given(bits=st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=1, max_size=9))
def test_exhaustive_tries_all_on_all_and_ranks_by_the_mean(bits):
    table = Table(lambda n, row: float(bits[n][row]))
    options = SelectionOptions(first_rows=1, exhaustive=True)
    ranked = select([candidate(i, 9 - i) for i in range(len(bits))], 6, table, options)
    assert table.spent == 6 * len(bits)
    assert len(table.rounds) == 1
    expected = sorted(range(len(bits)), key=lambda i: (-sum(bits[i]), 9 - i, i))
    assert [c.number for c in ranked] == expected


@pytest.mark.parametrize("wrong", [{"first_rows": 0}, {"keep": 0.0}, {"keep": 1.5}, {"keep": -0.5}])
def test_options_out_of_range_are_refused(wrong):
    name = next(iter(wrong))
    with pytest.raises(PromptInfillError, match=f"{name} is"):
        SelectionOptions(**wrong)
