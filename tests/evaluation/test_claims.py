"""Decision rules on accuracies that the test chooses."""

import pytest

from promptinfill.evaluation.claims import (
    Grid,
    Roles,
    Rules,
    combined_rows,
    combining,
    compare_variants,
    matching,
    shortening,
    transferring,
    unlocking,
)
from promptinfill.evaluation.experiment import Chosen

TASKS = ["t1", "t2", "t3", "t4", "t5"]
ROLES = Roles("locked", "open", "kept", "open")


class Scripted:
    """An experiment whose accuracies are a table: (model, target, "infilled" or "manual")."""

    def __init__(self, infilled, manual, tokens=(5, 9)):
        self.own, self.by_hand, self.tokens = infilled, manual, tokens

    def infilled(self, model, task, seed):
        return Chosen(f"infilled by {model}", self.tokens[0], 1.0)

    def manual(self, model, task, seed):
        return Chosen("manual", self.tokens[1], 1.0)

    def tested(self, target, prompt, task, seed):
        if prompt == "manual":
            return [self.by_hand[target]]
        source = prompt.removeprefix("infilled by ")
        values = self.own.get((source, target), self.own.get(source))
        return [values + 0.01 * TASKS.index(task)]

    def fingerprint(self, name):
        return name


def grid(infilled, manual=None, **how):
    manual = manual or dict.fromkeys(("locked", "open", "kept"), 0.9)
    return Grid(Scripted(infilled, manual, **how), TASKS, [0, 1])


@pytest.mark.parametrize(
    ("locked", "opened", "kept", "verdict", "reason"),
    [
        (0.2, 0.8, 0.7, "holds", "every part"),
        (0.2, 0.8, 0.3, "does not hold", "two-stage stays unlocked"),
        (0.7, 0.8, 0.7, "does not hold", "response-only is locked"),
        (0.2, 0.3, 0.7, "does not hold", "full-sequence is unlocked"),
    ],
)
def test_unlocking_needs_all_three_models_on_their_side(locked, opened, kept, verdict, reason):
    claim = unlocking(grid({"locked": locked, "open": opened, "kept": kept}), ROLES, Rules())
    assert claim.verdict == verdict
    assert claim.reason.startswith(reason)
    assert claim.figure == pytest.approx(opened - locked)


@pytest.mark.parametrize(
    ("infilled", "verdict"), [(0.9, "holds"), (0.86, "holds"), (0.8, "does not hold")]
)
def test_matching_allows_the_margin_and_no_more(infilled, verdict):
    claim = matching(grid({"open": infilled}), ROLES, Rules(match_margin=0.05))
    assert claim.verdict == verdict
    assert claim.low <= claim.figure <= claim.high


def test_transfer_counts_pairs_of_different_models_only():
    table = {
        ("open", "open"): 0.1,
        ("kept", "kept"): 0.1,
        ("open", "kept"): 0.9,
        ("kept", "open"): 0.9,
    }
    claim = transferring(grid(table), ["open", "kept"], ["open", "kept"], Rules())
    assert claim.verdict == "holds"
    assert "2 pairs" in claim.parts[0].statement
    assert transferring(grid(table), ["open"], ["open"], Rules()).verdict == "not tested"


def test_shorter_means_the_whole_interval_below_zero():
    assert shortening(grid({"open": 1}, tokens=(5, 9)), ROLES).figure == -4
    assert shortening(grid({"open": 1}, tokens=(5, 9)), ROLES).verdict == "holds"
    assert shortening(grid({"open": 1}, tokens=(9, 9)), ROLES).verdict == "does not hold"
    assert shortening(grid({"open": 1}, tokens=(None, 9)), ROLES).verdict == "not tested"


def test_combining_averages_pairs_within_a_task():
    pairs = {
        ("ape", "ape+infill"): ([0.5] * 5, [0.7] * 5),
        ("opro", "opro+infill"): ([0.6] * 5, [0.5] * 5),
    }
    rows = combined_rows(pairs)
    claim = combining(rows, Rules())
    assert claim.figure == pytest.approx(0.05)
    assert claim.verdict == "holds"
    assert combining(rows, Rules(combine_margin=0.1)).verdict == "does not hold"
    assert combining([], Rules()).verdict == "not tested"


def test_variants_are_corrected_for_their_number():
    base = [0.1 * i for i in range(8)]
    better = [value + 0.2 + 0.01 * i for i, value in enumerate(base)]
    alone = compare_variants(base, {"better": better})[0]
    many = compare_variants(base, {"better": better, "same": base, "again": base})
    assert many[0].difference == pytest.approx(alone.difference) == pytest.approx(0.235)
    assert many[0].p_holm == pytest.approx(min(1, 3 * alone.p_value))
    assert many[1].p_holm == 1
