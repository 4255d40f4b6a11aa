import io

import pytest

from promptinfill import MaskedDiffusionLM
from promptinfill.cli.generate import Order
from promptinfill.diffusion.sampling import ORDERS
from promptinfill.targets.diffusion import DiffusionTarget

from .conftest import Cli


def test_the_answer_alone_is_printed(cli: Cli, tiny: str) -> None:
    prompt = "give the first\nword:"
    expected, cost = DiffusionTarget(MaskedDiffusionLM.from_pretrained(tiny)).answer(
        [prompt], max_tokens=5
    )
    given = ("generate", "--model", tiny, "--max-tokens", 5, "--prompt", prompt)
    ran = cli(*given)
    assert (ran.code, ran.out, ran.err) == (0, expected[0] + "\n", "")
    found = cli(*given, "--json").json
    assert found["answer"] == expected[0]
    assert found["cost"] == {"model_calls": cost.model_calls, "tokens": cost.tokens}
    assert found["prompt"] == prompt
    assert cli(*given[:-1], "give the first\\nword:", "--json").json["prompt"] == prompt


def test_prompt_from_a_pipe(cli: Cli, tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("the [MASK:2] {word}\n"))
    found = cli("generate", "--model", tiny, "--max-tokens", 2, "--json").json
    assert found["prompt"] == "the [MASK:2] {word}"


def test_no_prompt_on_a_terminal(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stdin", terminal)
    ran = cli("generate")
    assert ran.code == 2
    assert "--prompt" in ran.sentence


def test_trace_in_json_commits_every_slot_once(cli: Cli, tiny: str) -> None:
    found = cli(
        *("generate", "--model", tiny, "--prompt", "word", "--max-tokens", 4, "--json"),
        *("--trace", "--order", "left_to_right"),
    ).json
    slots = [entry["slot"] for step in found["trace"] for entry in step["committed"]]
    assert slots == [0, 1, 2, 3]
    assert [step["step"] for step in found["trace"]] == [1, 2, 3, 4]
    assert "░" in found["trace"][0]["text"]
    assert "░" not in found["trace"][-1]["text"]
    assert found["trace"][-1]["text"].split(" ·")[0].strip("· ") == found["answer"]


def test_trace_for_people_leaves_the_answer_alone(cli: Cli, tiny: str) -> None:
    given = ("generate", "--model", tiny, "--prompt", "word", "--max-tokens", 3)
    plain, traced = cli(*given, "--order", "random"), cli(*given, "--order", "random", "--trace")
    assert traced.out == plain.out
    assert traced.err.count("\n") == 4
    assert "░░ ░░ ░░" in traced.err.splitlines()[0]


def test_seed_and_temperature(cli: Cli, tiny: str) -> None:
    given = ("generate", "--model", tiny, "--prompt", "word", "--max-tokens", 8, "--json")
    hot = [cli(*given, "--temperature", 5, "--seed", s).json["answer"] for s in (0, 0, 1)]
    assert hot[0] == hot[1]
    assert hot[0] != hot[2]


def test_orders_are_the_librarys() -> None:
    assert {order.value for order in Order} == set(ORDERS)
