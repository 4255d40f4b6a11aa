"""The main job on a tiny model, with a target whose right behaviour is known."""

import json
import zlib

import pytest
from scenario import EXAMPLES, MANUAL, TEMPLATE, TEST, VALIDATION, Scripted

from promptinfill.errors import NoCandidateError, PromptInfillError, TemplateError
from promptinfill.infilling.candidates import InfillOptions
from promptinfill.infilling.infill import infill
from promptinfill.infilling.result import Result
from promptinfill.infilling.selection import SelectionOptions
from promptinfill.targets import Cost, Target
from promptinfill.targets.diffusion import DiffusionTarget
from promptinfill.tasks.metrics import contains, exact_match
from promptinfill.templates import Template

WARM = InfillOptions(temperatures=(1.0, 2.0), examples=2, batch_size=4)


def run(dlm, **changes):
    arguments = {
        "template": TEMPLATE,
        "examples": EXAMPLES,
        "dlm": dlm,
        "validation": VALIDATION,
        "target": Scripted(),
        "candidates": 10,
        "options": WARM,
    }
    arguments |= changes
    return infill(arguments.pop("template"), arguments.pop("examples"), **arguments)


def quality(prompt):
    """How often the scripted target answers under this prompt, from its rule, not from a run."""
    words = [row["input"] for row in VALIDATION]
    limit = zlib.crc32(prompt.split("\n")[0].encode()) % 10
    return sum(zlib.crc32(word.encode()) % 10 <= limit for word in words) / len(words)


@pytest.fixture(scope="module")
def reference(dlm, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference") / "run"
    return run(dlm, test=TEST, manual=MANUAL, folder=folder), folder


def test_the_scripted_target_is_a_target():
    assert isinstance(Scripted(), Target)


def test_the_prompt_that_the_target_does_best_with_is_chosen(dlm):
    options = SelectionOptions(exhaustive=True)
    result = run(dlm, selection=options)
    qualities = [quality(c.prompt) for c in result.candidates]
    assert len(set(qualities)) > 2
    assert [c.score for c in result.candidates] == pytest.approx(qualities)
    assert qualities == sorted(qualities, reverse=True)
    assert result.prompt == result.candidates[0].prompt == result.best.prompt
    assert result.test is None
    assert result.manual is None


def test_the_prompt_keeps_the_template_around_its_filling(reference):
    result, _ = reference
    filled = Template(result.prompt, result.response)
    assert filled.fields == TEMPLATE.fields
    assert result.prompt == f"{result.best.fillings[0]}\nInput: {{input}}\nOutput: {{output}}"


def test_every_draw_is_accounted_for(reference):
    result, _ = reference
    assert sum(c.drawn for c in result.candidates) == 10
    assert result.dropped.get("duplicate", 0) == 10 - len(result.candidates)


def test_test_rows_meet_the_chosen_prompt_and_the_manual_one_once(dlm):
    target = Scripted()
    result = run(dlm, target=target, test=TEST, manual=MANUAL)
    words = {row["input"] for row in TEST}
    seen = [p for p in target.seen if p.split("\n")[1].removeprefix("Input: ") in words]
    prompts = [Template(result.prompt, "output"), Template(MANUAL, "output")]
    assert sorted(seen) == sorted(p.prompt(row) for p in prompts for row in TEST)
    for interval, prompt in zip((result.test, result.manual), prompts, strict=True):
        right = [Scripted.rule(prompt.prompt(row)) == row["output"] for row in TEST]
        assert interval.score == pytest.approx(sum(right) / len(TEST))
        assert interval.n == len(TEST)


def test_without_a_manual_prompt_only_the_chosen_one_meets_test_rows(dlm):
    target = Scripted()
    result = run(dlm, target=target, test=TEST)
    words = {row["input"] for row in TEST}
    seen = [p for p in target.seen if p.split("\n")[1].removeprefix("Input: ") in words]
    assert sorted(seen) == sorted(Template(result.prompt, "output").prompt(row) for row in TEST)
    assert result.manual is None


def test_examples_are_never_asked(dlm):
    target = Scripted()
    run(dlm, target=target)
    asked = {p.split("\n")[1].removeprefix("Input: ") for p in target.seen}
    assert asked == {row["input"] for row in VALIDATION}


def test_costs_are_the_sum_of_the_units(reference):
    result, folder = reference
    lines = (folder / "work.jsonl").read_text().splitlines()
    units = {entry["unit"]: entry["value"] for entry in map(json.loads, lines)}
    assert len(units) == len(lines)
    for name in ("model_calls", "tokens"):
        assert result.cost[name] == sum(unit[name] for unit in units.values())
    answered = [unit for unit in units.values() if "answers" in unit]
    asked = sum(len(c.scores) for c in result.candidates) + 2 * len(TEST)
    assert sum(unit["model_calls"] for unit in answered) == asked
    assert sum(unit["tokens"] for unit in answered) == 7 * asked
    # Three tokens, two canvases, one token a step; shorter holes take fewer steps.
    draws = [unit for unit in units.values() if "draws" in unit]
    steps = sum(p["hole_lengths"][0] for p in plans_of(result))
    assert sum(unit["model_calls"] for unit in draws) == 2 * steps


def plans_of(result):
    from promptinfill.infilling.candidates import make_plans

    plans = make_plans(TEMPLATE, len(EXAMPLES), 10, 0, WARM)
    return [{"hole_lengths": p.hole_lengths} for p in plans]


@pytest.mark.parametrize("conditioning", ["tied", "concat"])
def test_end_to_end_on_the_model_itself(dlm, conditioning):
    options = InfillOptions(conditioning=conditioning, examples=2, prior_weight=1.0, guidance=0.5)
    result = run(dlm, target=None, options=options, candidates=4, test=TEST, manual=MANUAL, seed=3)
    target = DiffusionTarget(dlm)
    room = result.settings["max_answer_tokens"]
    prompts = [Template(result.prompt, "output").prompt(row) for row in TEST]
    answers, _ = target.answer(prompts, max_tokens=room)
    scores = [exact_match(a, row["output"]) for a, row in zip(answers, TEST, strict=True)]
    assert result.test.score == pytest.approx(sum(scores) / len(scores))
    assert result.settings["target"] == result.settings["model"] == dlm.name
    assert result.best.tokens == target.count_tokens(
        Template(result.prompt, "output").prompt({"input": ""})
    )


def test_room_for_an_answer_is_the_longest_known_answer_and_two_more(dlm):
    rows = [{"input": "lamp", "output": "two whole words"}, *VALIDATION]
    assert run(dlm, validation=rows).settings["max_answer_tokens"] == 3 + 2
    assert run(dlm, max_answer_tokens=9).settings["max_answer_tokens"] == 9


def test_equal_settings_give_equal_files(dlm, reference, tmp_path):
    _, folder = reference
    again = run(dlm, test=TEST, manual=MANUAL, folder=tmp_path)
    for name in ("result.json", "prompt.txt", "settings.json", "work.jsonl"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    assert (tmp_path / "prompt.txt").read_text() == again.prompt


def test_the_model_itself_gives_equal_files_too(dlm, tmp_path):
    for name in ("a", "b"):
        run(dlm, target=None, candidates=4, test=TEST, folder=tmp_path / name)
    for name in ("result.json", "prompt.txt"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_another_seed_gives_another_run(dlm, reference):
    result, _ = reference
    other = run(dlm, seed=1)
    assert [c.fillings for c in other.candidates] != [c.fillings for c in result.candidates]


def test_a_result_survives_saving(reference, tmp_path):
    result, folder = reference
    assert Result.load(folder) == result
    result.save(tmp_path)
    assert Result.load(tmp_path) == result
    assert "seconds" not in json.loads((tmp_path / "result.json").read_text())["cost"]


def test_several_right_answers_count_under_any_metric(dlm):
    class Echo(Scripted):
        @staticmethod
        def rule(prompt):
            return "second"

    rows = [r | {"output": "first", "references": "first\nsecond\nthird"} for r in VALIDATION]
    for metric in (exact_match, contains):
        asked = [r | {"input": r["input"] + " again"} for r in rows]
        result = run(dlm, target=Echo(), validation=rows, metric=metric, candidates=3, test=asked)
        assert result.best.score == 1.0
        assert result.test.score == 1.0
    wrong = [r | {"references": "first\nthird"} for r in rows]
    assert run(dlm, target=Echo(), validation=wrong, candidates=3).best.score == 0.0
    bare = [{"input": r["input"], "output": "second"} for r in rows]
    assert run(dlm, target=Echo(), validation=bare, candidates=3).best.score == 1.0


def test_progress_is_told_unit_by_unit(dlm):
    told = []
    run(dlm, test=TEST, on_progress=told.append)
    drawn = [(p.done, p.total) for p in told if p.stage == "candidates"]
    assert drawn == [(i + 1, len(drawn)) for i in range(len(drawn))]
    stages = list(dict.fromkeys(p.stage for p in told))
    assert stages[0] == "candidates"
    assert stages[-1] == "test"
    for stage in stages:
        last = [p for p in told if p.stage == stage][-1]
        assert last.done == last.total


# --- what is refused ---


class Untouched(Scripted):
    """Work before the settings are checked would be work for nothing."""

    def answer(self, prompts, *, max_tokens):
        raise AssertionError("asked before the settings were checked")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"template": Template("Do it: {input} {output}", "output")}, TemplateError, "no hole"),
        ({"template": Template("[MASK:3] {input}")}, PromptInfillError, "needs a response"),
        (
            {"examples": [*EXAMPLES, {"input": "sun"}]},
            TemplateError,
            r"examples\[6\] has no text for field 'output'",
        ),
        ({"validation": [{"output": "s"}]}, TemplateError, r"validation\[0\] .* 'input'"),
        ({"test": [TEST[0], {"input": "sun"}]}, TemplateError, r"test\[1\] .* 'output'"),
        ({"examples": []}, PromptInfillError, "at least one example"),
        ({"validation": []}, PromptInfillError, "one validation row"),
        ({"candidates": 0}, PromptInfillError, "candidates is 0"),
        ({"seed": -1}, PromptInfillError, "seed -1"),
        ({"seed": 2**63}, PromptInfillError, "seed 9223372036854775808"),
        ({"manual": "[MASK:2] {input} {output}"}, PromptInfillError, "manual prompt has a hole"),
        (
            {"manual": "Answer {question}: {output}"},
            PromptInfillError,
            "manual prompt has the field 'question'; the template's fields are input, output",
        ),
        ({"manual": "Answer."}, TemplateError, "no field for the response 'output'"),
    ],
)
def test_wrong_use_is_refused_before_any_work(dlm, tmp_path, changes, error, message):
    with pytest.raises(error, match=message):
        run(dlm, target=Untouched(), folder=tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def test_no_usable_candidate_says_why(dlm):
    tokens = dlm.tokenizer.get_vocab()
    kept = {"!", "?", *dlm.tokenizer.all_special_tokens}
    mute = dlm.with_conventions(suppressed_tokens=tuple(set(tokens) - kept))
    with pytest.raises(NoCandidateError, match=r"none of 5 candidates was usable \(5 no word\)"):
        run(mute, candidates=5, target=Untouched())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_metric_that_gives_no_number_is_an_error(dlm, bad):
    def broken(answer, reference):
        return bad

    with pytest.raises(PromptInfillError, match=f"metric broken gives {bad} for the answer"):
        run(dlm, metric=broken, candidates=2)


def test_a_canvas_too_long_for_the_model_says_what_to_do(dlm):
    from promptinfill.errors import ModelError

    rows = [{"input": "word " * 60, "output": "w"}] * 4
    with pytest.raises(ModelError, match="conditioning 'tied'"):
        run(dlm, examples=rows, options=InfillOptions(conditioning="concat"))


def test_costs_add():
    assert Cost(1, 10) + Cost(2, 5) == Cost(3, 15)
