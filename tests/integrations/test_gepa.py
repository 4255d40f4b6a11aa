"""The GEPA integration against the installed gepa and dspy.GEPA, and each of GEPA's traps."""

import inspect
import subprocess
import sys

import pytest

gepa = pytest.importorskip("gepa")
dspy = pytest.importorskip("dspy")

from gepa.core.adapter import EvaluationBatch  # noqa: E402

from optimizer_helpers import BLOCK, TASK, PlainScripted, as_examples, tiny  # noqa: E402
from promptinfill.errors import PromptInfillError  # noqa: E402
from promptinfill.integrations.dspy import PlainAdapter, diffusion_lm  # noqa: E402
from promptinfill.integrations.gepa import InfillProposer, InfillReflectionLM  # noqa: E402
from promptinfill.templates import Template  # noqa: E402

TRAIN, VALID = as_examples(TASK.examples), as_examples(TASK.validation)


class Silent:
    def __init__(self):
        self.lines = []

    def log(self, message):
        self.lines.append(message)


class Adapter:
    """A stand-alone system: one prompt, rows of the task."""

    propose_new_texts = None

    def __init__(self):
        self.target = PlainScripted()

    def evaluate(self, batch, candidate, capture_traces=False):
        template = Template(candidate["prompt"] + BLOCK, "output")
        answers, _ = self.target.answer([template.prompt(row) for row in batch], max_tokens=2)
        scores = [float(a == row["output"]) for a, row in zip(answers, batch, strict=True)]
        traces = list(zip(batch, answers, strict=True)) if capture_traces else None
        return EvaluationBatch(outputs=answers, scores=scores, trajectories=traces)

    def make_reflective_dataset(self, candidate, eval_batch, components_to_update):
        records = [
            {"Inputs": {"input": row["input"]}, "Generated Outputs": answer, "Feedback": "hm"}
            for row, answer in eval_batch.trajectories
        ]
        return dict.fromkeys(components_to_update, records)


def optimize(calls: int = 60, **how):
    return gepa.optimize(
        seed_candidate={"prompt": "Say it"},
        trainset=TASK.examples,
        valset=TASK.validation,
        adapter=Adapter(),
        max_metric_calls=calls,
        logger=Silent(),
        **how,
    )


def proposer(**how) -> InfillProposer:
    return InfillProposer(tiny(), TASK.examples, template="[MASK:3]" + BLOCK, **how)


DATASET = {"prompt": [{"Inputs": {"input": "dog"}, "Feedback": "wrong"}]}


def test_stand_alone_gepa_improves_with_infilled_proposals():
    made = proposer()
    result = optimize(custom_candidate_proposer=made)
    made.raise_errors()
    assert made.calls > 1
    assert len(result.candidates) > 1
    assert max(result.val_aggregate_scores) > result.val_aggregate_scores[0]


def test_a_reflection_strategy_fills_for_many_in_shared_batches(monkeypatch):
    from promptinfill.optimizers import proposers

    groups = []
    drawing = proposers.draw_fillings

    def spy(dlm, templates, examples, plans, options):
        groups.append(len(plans))
        return drawing(dlm, templates, examples, plans, options)

    monkeypatch.setattr(proposers, "draw_fillings", spy)
    made = proposer(draws=4)
    jobs = [({"prompt": text}, DATASET, ["prompt"]) for text in ("Say it", "Write the letter")]
    together = InfillReflectionLM(made).reflect_many(jobs)
    assert max(groups) > 1
    assert sum(groups) == 8
    alone = [proposer(draws=4)(*job) for job in jobs]
    assert [proposal.new_texts for proposal, _ in together] == alone
    result = optimize(reflection_strategy=InfillReflectionLM(proposer()))
    assert len(result.candidates) > 1


def metric(gold, pred, trace=None, pred_name=None, pred_trace=None):
    metric.calls += 1
    return float(gold.output == pred.output)


def compile_with_dspy(instruction_proposer, calls: int = 40, **how):
    metric.calls = 0
    lm = diffusion_lm(PlainScripted(), cache=False, wait=0)
    optimizer = dspy.GEPA(
        metric=metric,
        instruction_proposer=instruction_proposer,
        max_metric_calls=calls,
        reflection_minibatch_size=2,
        num_threads=1,
        **how,
    )
    with dspy.context(lm=lm, adapter=PlainAdapter()):
        student = dspy.Predict(dspy.Signature("input -> output", "Say it"))
        return optimizer.compile(student, trainset=TRAIN, valset=VALID)


def test_dspy_gepa_takes_the_same_object():
    made = proposer()
    compile_with_dspy(made)
    made.raise_errors()
    assert made.calls > 0


def test_the_names_are_those_that_dspy_passes():
    names = list(inspect.signature(InfillProposer.__call__).parameters)
    assert names == ["self", "candidate", "reflective_dataset", "components_to_update"]


def test_with_other_names_dspy_never_enters_a_proposer():
    """The trap: no error reaches the caller, the function just does nothing."""
    entered = []

    def renamed(candidate, dataset, components):
        entered.append(1)
        return {}

    compile_with_dspy(renamed)
    assert not entered


def test_dspy_gepa_overshoots_its_own_budget():
    compile_with_dspy(proposer(), calls=20)
    assert metric.calls > 20


class Broken(RuntimeError):
    pass


def break_down(*args, **kwargs):
    raise Broken("no filling today")


def test_errors_are_kept_stop_the_run_and_are_raised_after():
    made = proposer()
    made.filler.fill = break_down
    with_stop = optimize(
        calls=500, custom_candidate_proposer=made, stop_callbacks=[made.stop_callback]
    )
    assert len(with_stop.candidates) == 1
    assert 1 <= len(made.errors) <= 2
    with pytest.raises(Broken):
        made.raise_errors()


def test_dspy_gepa_stops_on_the_first_error_through_gepa_kwargs():
    made = proposer()
    made.filler.fill = break_down
    how = {"gepa_kwargs": {"stop_callbacks": [made.stop_callback]}}
    compile_with_dspy(made, calls=500, **how)
    assert 1 <= len(made.errors) <= 2  # gepa tries each proposal twice
    assert metric.calls < 100
    broken = InfillReflectionLM(proposer())
    broken.proposer.filler.fill = break_down
    with pytest.raises(Broken):
        broken.reflect({"prompt": "Say it"}, DATASET, ["prompt"])
    assert broken.proposer.stop_callback()


def test_gepa_goes_on_without_proposals_when_nobody_stops_it():
    """The trap that stop_callback is there for."""
    made = proposer()
    made.filler.fill = break_down
    result = optimize(calls=40, custom_candidate_proposer=made)
    assert len(result.candidates) == 1
    assert len(made.errors) > 1
    assert not proposer().stop_callback()
    proposer().raise_errors()


def test_the_reflective_dataset_holds_no_right_answers():
    """Why examples are given when the proposer is made."""
    seen = []

    class Spy(InfillProposer):
        def __call__(self, candidate, reflective_dataset, components_to_update):
            seen.append(reflective_dataset)
            return super().__call__(candidate, reflective_dataset, components_to_update)

    compile_with_dspy(Spy(tiny(), TASK.examples, template="[MASK:3]" + BLOCK))
    (records,) = seen[0].values()
    assert records
    for record in records:
        assert set(record) == {"Inputs", "Generated Outputs", "Feedback"}
        assert set(record["Inputs"]) == {"input"}


def test_draws_depend_on_content_and_seed_alone():
    """GEPA saves no state of a proposer: a resumed run makes a new one."""
    job = ({"prompt": "Write the letter"}, DATASET, ["prompt"])
    used = proposer()
    used({"prompt": "list"}, DATASET, ["prompt"])
    assert used(*job) == proposer()(*job)
    several = {proposer(seed=seed)(*job).get("prompt") for seed in range(4)}
    assert len(several) > 1


def test_failed_inputs_are_shown_first():
    made = proposer()
    numbers = [1, 3]
    records = [{"Inputs": {"input": TASK.examples[n]["input"]}} for n in numbers]
    assert made._failed(records) == numbers
    for _, plan in made._open("Say it", records):
        assert set(numbers) <= set(plan.examples)


def test_every_kth_call_is_the_fallbacks():
    asked = []

    def ordinary(candidate, reflective_dataset, components_to_update):
        asked.append(components_to_update)
        return {"prompt": "an ordinary proposal"}

    made = proposer(fallback=ordinary, fallback_every=3)
    results = [made({"prompt": "Say it"}, DATASET, ["prompt"]) for _ in range(6)]
    ordinary_ones = [r == {"prompt": "an ordinary proposal"} for r in results]
    assert ordinary_ones == [False, False, True] * 2
    assert asked == [["prompt"]] * 2


def test_proposals_are_guarded_and_rejections_counted():
    made = proposer(max_prompt_tokens=1)
    made({"prompt": "Write the letter of this word"}, DATASET, ["prompt"])
    assert made.rejected["too long"] > 0


def test_wrong_use_is_one_clear_sentence():
    with pytest.raises(PromptInfillError, match="needs solved examples"):
        InfillProposer(tiny(), [])
    with pytest.raises(PromptInfillError, match="must be at least 1"):
        proposer(draws=0)
    with pytest.raises(PromptInfillError, match="no hole to fill"):
        InfillProposer(tiny(), TASK.examples, template="Say it" + BLOCK)
    with pytest.raises(PromptInfillError, match="has no text for field"):
        InfillProposer(tiny(), [{"input": "x"}], template="[MASK:3]" + BLOCK)


MISSING = """
import sys
for name in ("dspy", "gepa"):
    sys.modules[name] = None
import promptinfill.integrations.gepa as module
try:
    module._require_gepa("gepa")
except module.PromptInfillError as error:
    print(error)
try:
    import promptinfill.integrations.dspy
except module.PromptInfillError as error:
    print(error)
"""


def test_missing_packages_are_named_with_the_command():
    done = subprocess.run([sys.executable, "-c", MISSING], capture_output=True, text=True)
    first, second = done.stdout.splitlines()
    assert "pip install 'promptinfill[gepa]'" in first
    assert "pip install 'promptinfill[dspy]'" in second


def test_the_gepa_module_imports_no_dspy():
    code = "import sys, promptinfill.integrations.gepa; print('dspy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
