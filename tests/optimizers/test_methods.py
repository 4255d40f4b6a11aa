"""Every method by name: exact budgets, equal results for equal seeds, honest costs."""

import dataclasses

import pytest

from optimizer_helpers import BLOCK, TASK, PlainScripted, tiny
from promptinfill.errors import PromptInfillError
from promptinfill.evaluation.scoring import prompt_accuracy
from promptinfill.optimizers.guards import Guards
from promptinfill.optimizers.methods import METHODS, optimize_prompt
from promptinfill.optimizers.proposers import InfillProposer, TextProposer
from promptinfill.optimizers.scorer import Scorer
from promptinfill.optimizers.searches import refine
from promptinfill.templates import Template

SAID = ("Write the letter", "list this", "sort the word", "write it", "Say one letter", "first")


def run(method: str, **how):
    target = PlainScripted(SAID)
    how = {"budget": 60, "seed": 3, "test": True} | how
    return optimize_prompt(method, TASK, dlm=tiny(), target=target, **how), target


@pytest.mark.parametrize("method", METHODS)
def test_each_method_keeps_its_budget_and_reports_the_truth(method):
    found, target = run(method)
    again, _ = run(method)
    assert dataclasses.replace(found, seconds=0) == dataclasses.replace(again, seconds=0)
    assert 8 <= found.metric_calls <= 60
    assert found.target_cost.model_calls == found.metric_calls
    template = Template(found.prompt, "output")
    assert template.fields == ("input", "output")
    assert not template.holes
    how = {"target": PlainScripted(), "metric": TASK.metric, "max_tokens": 3}
    assert found.score == prompt_accuracy(template, "output", TASK.validation, **how)
    assert found.test.score == prompt_accuracy(template, "output", TASK.test, **how)
    instruction = template.prompt({"input": "", "output": ""})
    assert found.tokens == target.count_tokens(instruction)
    if method != "manual":
        assert found.proposer_cost.model_calls > 0
    asked = set(target.seen)
    for row in TASK.test:  # only after the search, once
        assert sum(f"Input: {row['input']}\n" in prompt for prompt in asked) == 1


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"manual"}))
def test_a_budget_of_one_validation_is_enough(method):
    found, _ = run(method, budget=8, test=False)
    assert found.metric_calls <= 8


def test_seeds_matter():
    prompts = {run("ape+infill", seed=seed)[0].prompt for seed in range(4)}
    assert len(prompts) > 1


def test_the_prompt_limit_holds():
    found, _ = run("infill", max_prompt_tokens=4)
    assert found.tokens <= 4 or found.rejected["too long"]


def test_wrong_use_is_one_clear_sentence():
    with pytest.raises(PromptInfillError, match="unknown method 'x'; known: manual, infill"):
        run("x")
    with pytest.raises(PromptInfillError, match="budget of 7 metric calls cannot validate"):
        run("ape", budget=7)


def test_opro_shows_scores_worst_first_and_ape_paraphrases():
    target = PlainScripted(SAID)
    template = Template(TASK.template, "output")
    history = [("Write it" + BLOCK, 0.75), ("list" + BLOCK, 0.5)]
    TextProposer(target, template, TASK.examples, "opro").propose(history, 1, 0)
    (asked,) = target.seen
    assert asked.startswith("text: list score: 50\ntext: Write it score: 75\nInput: ")
    assert asked.endswith("Write a better instruction than all of these.")
    TextProposer(target, template, TASK.examples, "ape").propose(history, 1, 0)
    assert "Input: Write it\n" in target.seen[-1]
    TextProposer(target, template, TASK.examples, "ape").propose([], 1, 0)
    assert target.seen[-1].endswith("Output: " + target.seen[-1].split("Output: ")[-1])
    assert target.seen[-1].endswith("The instruction was to")


def test_text_proposals_are_text_even_with_braces():
    template = Template(TASK.template, "output")
    proposer = TextProposer(PlainScripted(("use {input} [MASK:3]",)), template, TASK.examples)
    (prompt,) = proposer.propose([], 1, 0)
    assert Template(prompt, "output").prompt({"input": "x"}).startswith("use {input} [MASK:3]\n")


def test_a_history_is_partly_remasked():
    proposer = InfillProposer(tiny(), Template(TASK.template, "output"), TASK.examples)
    known = "Say one single letter of the whole word right now" + BLOCK
    fresh = proposer.propose([(known, 1.0)], 8, 0)
    remasked = [prompt.split("\n")[0].split() for prompt in fresh[1::2]]
    words = known.split("\n")[0].split()
    assert all(words[0] == new[0] or words[-1] == new[-1] for new in remasked)
    assert proposer.cost.model_calls > 0


def make_refine(start: str, budget: int = 80, **how):
    template = Template(TASK.template, "output")
    count = len(TASK.validation)
    scorer = Scorer(TASK.validation, count, "output", PlainScripted(), TASK.metric, 3, budget)
    guards = Guards(template, scorer.target.count_tokens, TASK.examples)
    proposer = InfillProposer(tiny(), template, TASK.examples)
    args = {"seed": 0, "proposer": proposer} | how
    refine(start, tiny(), TASK.examples, scorer, guards, **args)
    return scorer


def test_refine_never_ends_below_its_start():
    start = "write the letter of this word" + BLOCK
    scorer = make_refine(start, feedback="Too long.")
    scores = dict(scorer.validated())
    assert scorer.validated()[0][1] >= scores[start]
    assert len({prompt for prompt, _ in scorer.known}) > 2
    assert not any("Feedback" in prompt for prompt in scorer.target.seen)


def test_refine_takes_the_users_holes():
    holes = Template("write [MASK:1] letter of this word" + BLOCK, "output")
    scorer = make_refine("write the letter of this word" + BLOCK, holes=holes, rounds=1)
    for prompt, _ in scorer.known:
        assert prompt.startswith("write ")
        assert prompt.endswith(" letter of this word" + BLOCK)


class Killed(Exception):
    pass


@pytest.mark.parametrize("method", ["ape+infill", "opro", "gepa+infill", "infill", "refine"])
def test_a_killed_run_continues_from_its_folder(tmp_path, method):
    whole, uncut = run(method)

    class Dying(PlainScripted):
        def answer(self, prompts, *, max_tokens):
            if len(self.batches) == 1:
                raise Killed
            return super().answer(prompts, max_tokens=max_tokens)

    how = {"dlm": tiny(), "budget": 60, "seed": 3, "test": True, "folder": tmp_path}
    dying = Dying(SAID)
    with pytest.raises(Killed):
        optimize_prompt(method, TASK, target=dying, **how)
    second = PlainScripted(SAID)
    resumed = optimize_prompt(method, TASK, target=second, **how)
    assert dataclasses.replace(resumed, seconds=0) == dataclasses.replace(whole, seconds=0)
    assert len(second.seen) + len(dying.seen) == len(uncut.seen)
    with pytest.raises(PromptInfillError, match="run with other settings \\(budget differ"):
        optimize_prompt(method, TASK, target=second, **how | {"budget": 61})
