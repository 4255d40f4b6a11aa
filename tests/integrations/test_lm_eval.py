"""The model in the harness, on a local task file: likelihood and generation."""

import json
import math

import pytest

pytest.importorskip("lm_eval")

from helpers import save_dlm
from promptinfill.errors import PromptInfillError
from promptinfill.integrations.lm_eval import PromptInfillLM

LIKELIHOOD = """
task: tiny_choice
dataset_path: json
dataset_kwargs: {data_files: {test: FILE}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: "{{answer}}"
metric_list: [{metric: acc}]
"""
GENERATION = """
task: tiny_generate
dataset_path: json
dataset_kwargs: {data_files: {test: FILE}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{choices[answer]}}"
generation_kwargs: {until: ["list"], max_gen_toks: 4}
metric_list: [{metric: exact_match}]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(save_dlm(tmp_path_factory.mktemp("lm") / "model", "modernbert"))


@pytest.fixture(scope="module")
def lm(folder):
    return PromptInfillLM(folder, mc_num=8, batch_size="auto")


class Request:
    def __init__(self, *args):
        self.args = args


def test_tasks_of_a_folder_run(folder, tmp_path, monkeypatch):
    import lm_eval
    from lm_eval.tasks import TaskManager

    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    choices = [" the", " list"]
    rows = [{"question": f"word {n}:", "choices": choices, "answer": n % 2} for n in range(4)]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, text in (("choice", LIKELIHOOD), ("generate", GENERATION)):
        (tmp_path / f"{name}.yaml").write_text(text.replace("FILE", str(data)))
    found = lm_eval.simple_evaluate(
        model="promptinfill",
        model_args=f"pretrained={folder},mc_num=4",
        tasks=["tiny_choice", "tiny_generate"],
        task_manager=TaskManager(include_path=str(tmp_path), include_defaults=False),
        bootstrap_iters=0,
    )
    assert found["n-samples"]["tiny_choice"]["effective"] == 4
    assert 0 <= found["results"]["tiny_choice"]["acc,none"] <= 1
    assert 0 <= found["results"]["tiny_generate"]["exact_match,none"] <= 1


def test_likelihoods_are_negative_seeded_and_additive_in_nothing(lm):
    requests = [Request("write the", " word"), Request("write the", ""), Request("", "list")]
    first = lm.loglikelihood(requests)
    assert [v for v, _ in first] == [v for v, _ in lm.loglikelihood(requests)]
    assert first[0][0] < 0
    assert first[1] == (0, True)
    assert lm.loglikelihood_rolling([Request("list")])[0] == pytest.approx(first[2][0])


def test_greedy_is_what_decoding_gives(lm):
    made = lm.generate_until([Request("write the", {"until": [], "max_gen_toks": 1})])[0]
    values = lm.loglikelihood([Request("write the", " " + made), Request("write the", " sortsort")])
    assert math.isfinite(values[0][0])
    assert values[1][1] is False


def test_stop_texts_cut_the_answer(lm):
    how = {"until": [], "max_gen_toks": 6}
    whole = lm.generate_until([Request("list the", how)])[0]
    stop = whole[len(whole) // 2]
    cut = lm.generate_until([Request("list the", how | {"until": [stop]})])[0]
    assert cut == whole.split(stop)[0]


def test_too_long_and_wrong_dtype(lm, folder):
    with pytest.raises(PromptInfillError, match="does not fit"):
        lm.loglikelihood_rolling([Request("word " * 200)])
    with pytest.raises(PromptInfillError, match="leaves no room"):
        lm.generate_until([Request("word " * 200, {"until": []})])
    with pytest.raises(PromptInfillError, match="choose float32, bfloat16 or float16"):
        PromptInfillLM(folder, dtype="int8")
