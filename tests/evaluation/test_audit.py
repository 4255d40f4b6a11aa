"""The audit: pairing, perplexities against arithmetic, resuming, errors."""

import json
import math

import pytest

from helpers import tiny_dlm, write_jsonl
from promptinfill.data.encoding import RESPONSE
from promptinfill.errors import DataError, PromptInfillError
from promptinfill.evaluation.audit import (
    AuditOptions,
    audit,
    held_out,
    instruction_canvas,
    nats,
)
from promptinfill.evaluation.experiment import Effort
from promptinfill.infilling.candidates import InfillOptions
from promptinfill.tasks import Splits
from promptinfill.templates import Template

SMALL = AuditOptions(
    tasks=("first_letter", "upper_case"),
    effort=Effort(Splits(3, 2, 4), 2, InfillOptions(examples=2, lengths=(0.5,))),
    texts=8,
    draws=4,
    room=6,
)


@pytest.fixture(scope="module")
def done(two_models, tmp_path_factory):
    a, b = two_models
    folder = tmp_path_factory.mktemp("audit") / "run"
    return folder, audit({"a": [a], "b": [b], "again": [a]}, SMALL, folder=folder)


def test_every_group_is_measured_with_intervals(done):
    _, result = done
    rows = [r for r in result["rows"] if r["checkpoint"] == "b"]
    assert {r["group"] for r in rows} == {"text", "tasks", "infilling", "generation"}
    for row in rows:
        assert row["difference"] == pytest.approx(row["after"] - row["before"], abs=1e-9)
        assert row["low"] <= row["high"]
        assert row["before_error"] >= 0
    measures = [r["measure"] for r in rows]
    assert len(measures) == len(set(measures))
    for expected in (
        "response perplexity, given the prompt",
        "prompt perplexity, given the response",
        "accuracy, manual prompt: mean of 2 tasks",
        "accuracy, own filled prompt: upper_case",
        "perplexity of the true instruction, given one example",
        "unconditional: distinct-2",
        "responses: share that ends with EOS",
    ):
        assert expected in measures


def test_equal_weights_differ_by_nothing(done):
    _, result = done
    for row in result["rows"]:
        if row["checkpoint"] == "again":
            assert (row["difference"], row["low"], row["high"]) == (0, 0, 0), row["measure"]


def test_the_same_call_reads_the_folder_and_gives_the_same(two_models, done):
    a, b = two_models
    folder, result = done
    before = (folder / "work.jsonl").read_bytes()
    again = audit({"a": [a], "b": [b], "again": [a]}, SMALL, folder=folder)
    assert (folder / "work.jsonl").read_bytes() == before
    assert (
        again["rows"] == result["rows"] == json.loads((folder / "audit.json").read_text())["rows"]
    )


def test_training_seeds_are_averaged_and_listed(two_models):
    a, b = two_models
    result = audit({"x": [a, b], "y": [b, a]}, SMALL)
    for row in result["rows"]:
        assert len(row["by_seed"]) == 2
        assert row["by_seed"][0] == pytest.approx(-row["by_seed"][1])
        assert row["difference"] == pytest.approx(0, abs=1e-9)


def test_nats_do_not_depend_on_the_batch_and_agree_with_a_blind_model():
    dlm = tiny_dlm("modernbert", max_position_embeddings=512)
    sequences = held_out(dlm, SMALL)
    eligible = [[region == RESPONSE for region in s.region] for s in sequences]
    together = nats(dlm, sequences, eligible, draws=4, seed=1)
    first = nats(dlm, sequences[:1], eligible[:1], draws=4, seed=1)
    assert together[0] == pytest.approx(first[0], rel=1e-4)
    for parameter in dlm.parameters():
        parameter.data.zero_()  # every token is as likely as any other
    uniform = nats(dlm, sequences, eligible, draws=4, seed=1)
    for value, row in zip(uniform, eligible, strict=True):
        assert value == pytest.approx(sum(row) * math.log(dlm.vocab_size), rel=1e-4)


def test_the_true_instruction_stands_in_the_hole():
    dlm = tiny_dlm("modernbert")
    template = Template("[MASK:12]\nInput: {input}\nOutput: {output}", "output")
    manual = "Write the first letter.\nInput: {input}\nOutput: {output}"
    canvas = instruction_canvas(dlm, template, manual, {"input": "list", "output": "l"})
    marked = [t for t, slot in zip(canvas.ids, canvas.slot, strict=True) if slot >= 0]
    assert dlm.tokenizer.decode(marked) == "Write the first letter."
    assert dlm.mask_token_id not in canvas.ids
    other = "Q: {input}\nA: {output}"
    assert instruction_canvas(dlm, template, other, {"input": "a", "output": "b"}) is None


def test_own_records_and_a_broken_one(two_models, tmp_path):
    dlm = tiny_dlm("modernbert")
    records = [{"prompt": "write the word", "response": "word"}] * 3
    path = write_jsonl(tmp_path / "r.jsonl", records)
    assert len(held_out(dlm, AuditOptions(data=path))) == 3
    assert len(held_out(dlm, AuditOptions(data=path, texts=2))) == 2
    path = write_jsonl(tmp_path / "bad.jsonl", [*records, {"prompt": "x"}])
    with pytest.raises(DataError, match=r"bad\.jsonl:4"):
        held_out(dlm, AuditOptions(data=path))
    path = write_jsonl(tmp_path / "long.jsonl", [{"prompt": "word " * 400, "response": "a"}])
    with pytest.raises(DataError, match="no held-out text fits"):
        held_out(dlm, AuditOptions(data=path))


def test_one_checkpoint_is_not_an_audit(two_models):
    with pytest.raises(PromptInfillError, match="at least two checkpoints"):
        audit({"a": [two_models[0]]})
