"""The DSPy integration against the installed dspy: its contract, and each of its traps."""

import asyncio
import inspect
import json
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

dspy = pytest.importorskip("dspy")

from optimizer_helpers import TASK, PlainScripted, as_examples, tiny  # noqa: E402
from promptinfill.diffusion.sampling import SamplingOptions  # noqa: E402
from promptinfill.errors import PromptInfillError  # noqa: E402
from promptinfill.integrations.dspy import (  # noqa: E402
    DiffusionEngine,
    InfillMIPROv2,
    InfillOptimizer,
    PlainAdapter,
    diffusion_lm,
    model_string,
)
from promptinfill.targets.diffusion import DiffusionTarget  # noqa: E402

TRAIN, VALID = as_examples(TASK.examples), as_examples(TASK.validation)


def metric(example, prediction, trace=None):
    metric.calls += 1
    return float(prediction.output == example.output)


@pytest.fixture(autouse=True)
def context():
    metric.calls = 0
    lm = diffusion_lm(PlainScripted(), cache=False, wait=0)
    with dspy.context(lm=lm, adapter=PlainAdapter()):
        yield lm


def program(instructions: str | None = None):
    return dspy.Predict(dspy.Signature("input -> output", instructions))


def optimizer(**how) -> InfillOptimizer:
    return InfillOptimizer(metric, **({"dlm": tiny(), "candidates": 12} | how))


def score(of) -> float:
    return sum(metric(row, of(**row.inputs())) for row in VALID) / len(VALID)


# --- InfillOptimizer ---


def test_compile_returns_a_better_copy_and_leaves_the_student_alone():
    student = program()
    before, made = student.signature.instructions, optimizer()
    better = made.compile(student, trainset=TRAIN, valset=VALID)
    assert student.signature.instructions == before
    assert made.report.metric_calls == metric.calls
    assert made.report.score > made.report.baseline == score(student)
    assert score(better) == made.report.score
    assert better._compiled is False


def test_the_program_comes_back_when_nothing_beats_it():
    """Candidate 0 is the program as it came: the metric likes every program alike."""
    student = program("Say it.")
    made = InfillOptimizer(lambda e, p, trace=None: 0.5, dlm=tiny(), candidates=6)
    same = made.compile(student, trainset=TRAIN, valset=VALID)
    assert same is not student
    assert same.signature.instructions == "Say it."
    assert made.report.score == made.report.baseline == 0.5


@pytest.mark.parametrize("budget", [8, 15, 24, 40])
def test_the_budget_is_exact(budget):
    optimizer(budget=budget).compile(program(), trainset=TRAIN, valset=VALID)
    assert metric.calls <= budget


def test_a_budget_below_the_baseline_is_an_error():
    with pytest.raises(PromptInfillError, match="budget of 7 metric calls cannot score"):
        optimizer(budget=7).compile(program(), trainset=TRAIN, valset=VALID)


def test_the_estimate_bounds_the_cost_and_runs_nothing():
    made = optimizer()
    estimate = made.estimate(program(), trainset=TRAIN, valset=VALID, seconds_per_call=1.0)
    assert metric.calls == 0
    assert estimate.seconds >= estimate.metric_calls / 8
    made.compile(program(), trainset=TRAIN, valset=VALID)
    assert metric.calls <= estimate.metric_calls
    assert made.report.infill_calls <= estimate.infill_calls
    assert made.report.infill_tokens <= 1.1 * estimate.infill_tokens


def test_frozen_text_stays_word_for_word():
    frozen = "Use {{x}} always. [MASK:3] Thanks."
    made = optimizer(templates={"self": frozen})
    made.compile(program(), trainset=TRAIN, valset=VALID)
    tried = [text for text, _, _ in made.report.candidates["self"]]
    assert tried
    assert all(t.startswith("Use {x} always. ") and t.endswith(" Thanks.") for t in tried)


def test_a_current_instruction_is_kept_between_holes():
    made = optimizer()
    made.compile(program("Mind the {gap}."), trainset=TRAIN, valset=VALID)
    assert all("\nMind the {gap}.\n" in text for text, _, _ in made.report.candidates["self"])


def test_the_token_limit_rejects_and_counts():
    made = optimizer(max_prompt_tokens=1, templates="[MASK:4]")
    same = made.compile(program("Say it."), trainset=TRAIN, valset=VALID)
    assert made.report.rejected["self"]["too long"] >= 1
    assert made.report.candidates == {} or all(
        made._count(text) <= 1 for text, _, _ in made.report.candidates["self"]
    )
    assert same.signature.instructions in ("Say it.", *dict.fromkeys(_texts(made)))


def _texts(made):
    return [text for text, _, _ in made.report.candidates.get("self", [])]


class Stop(Exception):
    pass


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_stopped_run_continues_from_its_folder(tmp_path, after):
    whole = optimizer().compile(program(), trainset=TRAIN, valset=VALID)
    needed, metric.calls, steps = metric.calls, 0, []

    def stop(stage, done, total):
        steps.append(done)
        if len(steps) == after:
            raise Stop

    with pytest.raises(Stop):
        optimizer(folder=tmp_path, on_progress=stop).compile(
            program(), trainset=TRAIN, valset=VALID
        )
    spent = metric.calls
    resumed = optimizer(folder=tmp_path).compile(program(), trainset=TRAIN, valset=VALID)
    assert resumed.signature.instructions == whole.signature.instructions
    assert 0 < spent < needed == metric.calls
    assert not list(tmp_path.glob("*.pkl"))
    with pytest.raises(PromptInfillError, match="run with other settings"):
        optimizer(folder=tmp_path, seed=1).compile(program(), trainset=TRAIN, valset=VALID)


@pytest.mark.parametrize(
    ("how", "rows", "message"),
    [
        ({}, {"trainset": TRAIN, "valset": []}, "at least one training example"),
        ({}, {"trainset": TRAIN, "valset": TRAIN[:2]}, "validation row 0 is also a training"),
        ({"templates": "no hole"}, {"trainset": TRAIN, "valset": VALID}, "no hole to fill"),
        ({"templates": "[MASK] {input}"}, {"trainset": TRAIN, "valset": VALID}, "has a field"),
        (
            {},
            {"trainset": [dspy.Example(input="x").with_inputs("input")], "valset": VALID},
            "no training example has the fields input, output",
        ),
    ],
)
def test_wrong_use_is_one_clear_sentence(how, rows, message):
    with pytest.raises(PromptInfillError, match=message):
        optimizer(**how).compile(program(), **rows)
    with pytest.raises(PromptInfillError, match="candidates is 0"):
        optimizer(candidates=0)


def test_two_predictors_are_both_optimised():
    class Two(dspy.Module):
        def __init__(self):
            super().__init__()
            self.first = dspy.Predict("input -> output")
            self.again = dspy.Predict("input -> output")

        def forward(self, input):
            self.first(input=input)
            return self.again(input=input)

    made = optimizer(budget=80)
    made.compile(Two(), trainset=TRAIN, valset=VALID)
    assert set(made.report.candidates) == {"first", "again"}
    assert metric.calls <= 80


def test_it_runs_before_and_after_other_optimizers():
    """BootstrapFewShot asserts that its student is not compiled."""
    better = optimizer().compile(program(), trainset=TRAIN, valset=VALID)
    shots = dspy.BootstrapFewShot(metric=metric, max_bootstrapped_demos=1, max_labeled_demos=1)
    both = shots.compile(better, trainset=TRAIN)
    assert both.signature.instructions == better.signature.instructions
    assert both._compiled is True
    again = optimizer().compile(both, trainset=TRAIN, valset=VALID)
    assert again.demos == both.demos


def test_it_is_a_step_of_better_together(context):
    student = program()
    student.set_lm(context)
    together = dspy.BetterTogether(metric=metric, i=optimizer(), s=dspy.LabeledFewShot(k=1))
    best = together.compile(student, trainset=TRAIN, valset=VALID, strategy="i -> s")
    strategies = {entry["strategy"]: entry["score"] for entry in best.candidate_programs}
    assert set(strategies) == {"", "i", "i -> s"}
    assert strategies["i"] > strategies[""]


# --- diffusion_lm ---


def test_one_request_one_response_without_deprecated_calls(context):
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        answer = program("Write the letter")(input="lamp").output
    assert answer in ("l", "?")
    assert "forward" not in vars(type(context))


def test_concurrent_requests_share_batches_and_keep_their_answers():
    target = DiffusionTarget(tiny())
    engine = DiffusionEngine(target, max_tokens=3, wait=0.05)
    lm = diffusion_lm(target, cache=False, max_tokens=3)
    words = [row["input"] for row in (*TASK.examples, *TASK.validation)][:8]
    requests = [request(lm, f"Input: {w}\nOutput:") for w in words]
    together = threading.Barrier(8)

    def ask(one):
        together.wait()
        return engine.complete(one).text

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, requests))
    assert sum(engine.batch_sizes) == 8
    assert max(engine.batch_sizes) > 1
    alone = DiffusionEngine(DiffusionTarget(tiny()), max_tokens=3, wait=0)
    assert answers == [alone.complete(one).text for one in requests]
    assert alone.batch_sizes == [1] * 8


def request(lm, text: str):
    from dspy.lm15 import Message, Request

    return Request(model=lm.model, messages=Message.user(text))


def test_a_bad_request_does_not_fail_the_others_of_its_batch():
    engine = DiffusionEngine(DiffusionTarget(tiny()), max_tokens=3, wait=0.2)
    lm = diffusion_lm(engine.target, cache=False)
    texts = ["Input: a", "word " * 500, "Input: b"]
    together = threading.Barrier(3)

    def ask(text):
        together.wait()
        try:
            return engine.complete(request(lm, text)).text
        except Exception as error:
            return error

    with ThreadPoolExecutor(3) as pool:
        good, bad, other = pool.map(ask, texts)
    assert isinstance(good, str)
    assert isinstance(other, str)
    assert "does not fit" in str(bad)


def test_an_interrupt_leaves_nobody_waiting():
    class Interrupted(PlainScripted):
        def answer(self, prompts, *, max_tokens):
            raise KeyboardInterrupt

    engine = DiffusionEngine(Interrupted(), wait=0.05)
    lm = diffusion_lm(engine.target, cache=False)
    together = threading.Barrier(3)

    def ask(text):
        together.wait()
        try:
            engine.complete(request(lm, text))
        except BaseException as error:
            return type(error)

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(ask, "abc")) == [KeyboardInterrupt] * 3


def test_await_and_streams_give_the_same_answer():
    lm = diffusion_lm(PlainScripted(), cache=False, wait=0)
    text = "Write\nInput: lamp\nOutput:"
    expected = lm(text)
    assert asyncio.run(lm.acall(text)) == expected
    events = list(lm.engine_object.stream(request(lm, text)))
    assert len(events) >= 3

    async def streamed():
        return [e async for e in lm._async_engine_spec.stream(request(lm, text))]

    assert len(asyncio.run(streamed())) == len(events)


def test_unknown_and_decoding_arguments_raise():
    """Decoding belongs to the engine: dspy refuses what it does not know, we what it would pass."""
    lm = diffusion_lm(PlainScripted(), cache=False)
    with pytest.raises(Exception, match="foo"):
        lm("hi", foo=1)
    for name, value in (("temperature", 0.5), ("top_p", 0.9)):
        with pytest.raises(Exception, match=f"{name}=.*decoding belongs to the engine"):
            lm("hi", **{name: value})
    with pytest.raises(PromptInfillError, match="max_tokens is 0"):
        diffusion_lm(PlainScripted(), max_tokens=0)


def test_the_model_string_tells_engines_apart():
    """The cache's key is the request and this string."""
    dlm = tiny()
    targets = [
        DiffusionTarget(dlm),
        DiffusionTarget(dlm, seed=1),
        DiffusionTarget(dlm, options=SamplingOptions(order="random")),
        DiffusionTarget(dlm.with_conventions(suppressed_tokens=())),
    ]
    strings = {model_string(DiffusionEngine(target)) for target in targets}
    strings.add(model_string(DiffusionEngine(targets[0], max_tokens=7)))
    strings.add(model_string(DiffusionEngine(targets[0]), "other revision"))
    assert len(strings) == 6
    again = DiffusionEngine(DiffusionTarget(dlm), wait=1.0)
    assert model_string(again) == model_string(DiffusionEngine(targets[0]))


def test_two_engines_under_one_string_would_poison_each_others_cache(tmp_path):
    """The trap that the string is there for, in the installed dspy."""

    class Fixed(PlainScripted):
        def rule(self, prompt):
            return self.instructions[0]

    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
    a, b = (DiffusionEngine(Fixed((text,)), wait=0) for text in ("one", "two"))
    assert dspy.LM("promptinfill/same", engine=a)("poison?") == ["one"]
    assert dspy.LM("promptinfill/same", engine=b)("poison?") == ["one"]
    assert dspy.LM("promptinfill/other", engine=b)("poison?") == ["two"]


def test_deep_copies_share_the_weights():
    lm = diffusion_lm(DiffusionTarget(tiny()), cache=False)
    student = program()
    student.set_lm(lm)
    copied = student.deepcopy()
    assert copied.lm.engine_object is lm.engine_object
    assert copied.lm.dlm is tiny()


def test_a_saved_program_scores_the_same_in_a_new_process(tmp_path):
    folder, path = tmp_path / "model", tmp_path / "program.json"
    tiny().save_pretrained(folder)
    lm = diffusion_lm(str(folder), max_tokens=2, cache=False)
    student = program("Write the letter")
    student.set_lm(lm)
    student.save(path)
    here = [student(input=row["input"]).output for row in TASK.test]
    code = (
        "import dspy, json, sys\n"
        "from promptinfill.integrations.dspy import PlainAdapter\n"
        "program = dspy.Predict('input -> output')\n"
        "program.load(sys.argv[1], allow_unsafe_lm_state=True)\n"
        "dspy.configure(adapter=PlainAdapter())\n"
        "print(json.dumps([program(input=w).output for w in sys.argv[2:]]))\n"
    )
    words = [row["input"] for row in TASK.test]
    done = subprocess.run(
        [sys.executable, "-c", code, path, *words], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == here
    assert json.loads(path.read_text())["lm"]["model"] == lm.model


def test_a_program_on_an_open_target_says_why_it_cannot_be_saved(tmp_path):
    student = program()
    student.set_lm(diffusion_lm(PlainScripted()))
    with pytest.raises(Exception, match="diffusion_lm\\(NAME\\)"):
        student.save(tmp_path / "program.json")


# --- adapters ---


def test_the_plain_prompt_is_short_and_its_answer_is_the_field():
    signature = dspy.Signature("first_word, b -> output: int", "Do it.")
    demos = [{"first_word": "x", "b": "y", "output": 1}, {"b": "no answer"}]
    (message,) = PlainAdapter().format(signature, demos, {"first_word": "p", "b": "q"})
    assert message["content"] == (
        "Do it.\nFirst word: x\nB: y\nOutput: 1\nFirst word: p\nB: q\nOutput:"
    )
    assert PlainAdapter().parse(signature, " 12 ") == {"output": 12}


def test_plain_needs_one_output():
    with pytest.raises(PromptInfillError, match="reads one output field"):
        PlainAdapter().format(dspy.Signature("a -> b, c"), [], {"a": "1"})


@pytest.mark.parametrize("adapter", [dspy.ChatAdapter(), dspy.JSONAdapter()])
def test_the_markers_of_larger_adapters_cost_many_times_the_tokens(adapter):
    signature = dspy.Signature("input -> output", "Write the first letter of the word.")
    plain = PlainAdapter().format(signature, [], {"input": "garden"})
    marked = adapter.format(signature, [], {"input": "garden"})
    length = [len(" ".join(m["content"] for m in texts).split()) for texts in (plain, marked)]
    assert length[1] > 4 * length[0]


# --- MIPROv2 ---


def test_the_private_method_is_still_what_we_override():
    from dspy.teleprompt import MIPROv2

    names = list(inspect.signature(MIPROv2._propose_instructions).parameters)
    assert names[:3] == ["self", "program", "trainset"]
    assert names[-1] == "num_instruct_candidates"
    assert "_propose_instructions" in vars(InfillMIPROv2)


def test_mipro_searches_over_infilled_instructions():
    pytest.importorskip("optuna")
    made = InfillMIPROv2(
        metric,
        dlm=tiny(),
        prompt_model=dspy.settings.lm,
        task_model=dspy.settings.lm,
        auto=None,
        num_candidates=4,
        max_bootstrapped_demos=0,
        max_labeled_demos=0,
        num_threads=1,
    )
    seen = {}
    original = made._propose_instructions

    def spy(*args, **kwargs):
        seen.update(original(*args, **kwargs))
        return seen

    made._propose_instructions = spy
    student = program("Say it.")
    how = {"num_trials": 5, "minibatch": False, "trainset": TRAIN, "valset": VALID}
    best = made.compile(student, **how)
    assert seen[0][0] == "Say it."
    assert len(seen[0]) == 4
    assert all("\nSay it.\n" in text for text in seen[0][1:])
    assert best.signature.instructions in seen[0]


def test_mipro_starts_from_the_students_instruction():
    """The public way in: candidate 0 is what an earlier optimizer wrote."""
    better = optimizer().compile(program(), trainset=TRAIN, valset=VALID)
    made = InfillMIPROv2(metric, dlm=tiny(), prompt_model=dspy.settings.lm, auto=None)
    found = made._propose_instructions(better, TRAIN, num_instruct_candidates=3)
    assert found[0][0] == better.signature.instructions
