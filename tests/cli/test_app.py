import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from promptinfill import __version__
from promptinfill.cli import app, main
from promptinfill.infilling.run import Run

from .conftest import MANUAL, TEMPLATE, Cli

COMMANDS = [[], ["demo"], ["infill"], ["refine"], ["train"], ["generate"], ["tasks"]]
COMMANDS += [["tasks", "list"], ["tasks", "show"]]
SCRIPT = Path(sys.executable).with_name("promptinfill")
HEAVY = {"torch", "transformers", "numpy", "scipy", "inflect", "huggingface_hub", "tokenizers"}


def imported_by(code: str) -> set[str]:
    code += "\nimport sys; print('\\n' + ' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_import_is_light() -> None:
    modules = imported_by("import promptinfill")
    assert "promptinfill" in modules
    assert not modules & (HEAVY | {"typer", "rich"})


def test_help_of_every_command_is_light() -> None:
    calls = "\n".join(f"assert main({[*c, '--help']}) == 0" for c in COMMANDS)
    modules = imported_by(f"from promptinfill.cli import main\n{calls}")
    assert "typer" in modules
    assert not modules & HEAVY


def test_wrong_use_is_light_too() -> None:
    modules = imported_by("from promptinfill.cli import main\nassert main(['infill']) == 2")
    assert not modules & HEAVY


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_teaches(cli: Cli, command: list[str]) -> None:
    ran = cli(*command, "--help")
    assert ran.code == 0
    assert ran.err == ""
    assert "Usage: promptinfill" in ran.out
    examples = ran.out.partition("Examples")[2]
    assert re.search(r"^ +promptinfill ", examples, re.MULTILINE)


def test_help_shows_defaults_and_holes(cli: Cli) -> None:
    text = " ".join(cli("infill", "--help").out.replace("│", " ").split())
    assert "[MASK:8] a hole of 8 tokens" in text
    assert "[default: embedded:best]" in text
    assert "[default: quick]" in text
    assert "quick: 24, full: 64" in text


def test_every_option_is_explained() -> None:
    import typer

    def walk(command: object) -> None:
        for parameter in command.params:  # type: ignore[attr-defined]
            if parameter.name != "help":
                assert parameter.help, (command, parameter.name)
        for sub in getattr(command, "commands", {}).values():
            walk(sub)

    walk(typer.main.get_command(app.app))


def test_bare_command_and_version(cli: Cli) -> None:
    assert "Usage: promptinfill" in cli().out
    assert cli("--version").out == f"promptinfill {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["bogus"], "No such command 'bogus' (see promptinfill --help)"),
        (["infill", "--bogus"], "(see promptinfill infill --help)"),
        (["infill", "--task", "sum", "--budget", "huge"], "'huge' is not one of 'quick', 'full'"),
        (["infill", "--task", "sum", "--candidates", "0"], "--candidates"),
        (["infill"], "either --task TASK, or --template with --examples"),
        (["infill", "--task", "sum", "--template", "x"], "either --task"),
        (["infill", "--task", "sum", "--response", "output"], "--response goes with --template"),
        (["infill", "--template", TEMPLATE], "--examples"),
        (["infill", "--task", "no_such_task"], "no_such_task"),
        (["infill", "--task", "sum", "--metric", "rouge"], "unknown metric 'rouge'"),
        (["infill", "--task", "sum", "--model", "embedded:nothing"], "nothing"),
        (["train"], "RECIPE.yaml"),
        (["train", "absent.yaml", "--out", "x"], "cannot read recipe absent.yaml"),
        (["generate", "--prompt", " "], "the prompt is empty"),
        (["tasks", "show", "no_such_task"], "no_such_task"),
    ],
)
def test_wrong_use_is_one_sentence(
    cli: Cli,
    arguments: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "names.json").write_text("{}")
    monkeypatch.setattr("promptinfill.models.embedded._FOLDER", tmp_path)
    ran = cli(*arguments)
    assert ran.code == 2
    assert ran.sentence.startswith("Error: ")
    assert says in ran.sentence


@pytest.mark.parametrize("place", ["before", "after"])
def test_debug_shows_the_traceback(cli: Cli, place: str) -> None:
    command = ["tasks", "show", "no_such_task"]
    ran = cli(*(["--debug", *command] if place == "before" else [*command, "--debug"]))
    assert ran.code == 2
    assert "Traceback" in ran.err
    assert ran.err.splitlines()[-1].startswith("Error: ")


def test_our_fault_is_1_and_asks_for_debug(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> list[str]:
        raise RuntimeError("boom\nand more")

    monkeypatch.setattr("promptinfill.tasks.task_summaries", broken)
    ran = cli("tasks", "list", "--json")
    assert ran.code == 1
    assert "RuntimeError: boom and more" in ran.sentence
    assert "--debug" in ran.sentence
    assert "Traceback" in cli("tasks", "list", "--debug").err


def test_interrupt_without_a_folder(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop() -> list[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr("promptinfill.tasks.task_summaries", stop)
    ran = cli("tasks", "list")
    assert ran.code == 130
    assert ran.sentence == "Interrupted."


def test_output_survives_a_stray_print(
    cli: Cli, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from promptinfill.models.base import MaskedDiffusionLM

    real = MaskedDiffusionLM.from_pretrained

    def chatty(*args: object, **kwargs: object) -> MaskedDiffusionLM:
        print("loading, please wait")
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(MaskedDiffusionLM, "from_pretrained", chatty)
    ran = cli("generate", "--prompt", "Word", "--model", tiny, "--max-tokens", "2", "--json")
    assert ran.json["model"] == tiny
    assert ran.err == ""


def test_ctrl_c_keeps_finished_work_and_the_same_command_continues(
    tiny: str, rows: str, tmp_path: Path
) -> None:
    def command(folder: Path) -> list[str]:
        given = ["--template", TEMPLATE, "--examples", rows, "--manual", MANUAL, "--model", tiny]
        return ["infill", *given, "--candidates", "400", "--out", str(folder), "--json"]

    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    process = subprocess.Popen(
        [SCRIPT, *command(stopped)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        # A shell may start background jobs, and all below them, with SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    log = stopped / "work.jsonl"
    deadline = time.monotonic() + 120
    while not (log.is_file() and log.read_bytes().count(b"\n") >= 2):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert err.count("\n") == 1
    assert str(stopped) in err
    assert "the same command continues" in err
    assert not (stopped / "result.json").exists()
    before = log.read_bytes()

    assert main(command(stopped)) == 0
    assert log.read_bytes().startswith(before[: before.rindex(b"\n") + 1])
    assert main(command(whole)) == 0
    assert (stopped / "result.json").read_bytes() == (whole / "result.json").read_bytes()
    assert json.loads((whole / "result.json").read_text())["prompt"]


def test_ctrl_c_without_a_folder_keeps_unfinished_work_until_it_is_done(
    tiny: str, rows: str, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    given = ("infill", "--template", TEMPLATE, "--examples", rows, "--model", tiny, "--json")

    def stop_after_two(run: Run, name: str, compute: Callable[[], object]) -> object:
        if len(run.units) == 2:
            raise KeyboardInterrupt
        return real(run, name, compute)

    real = Run.unit
    monkeypatch.setattr(Run, "unit", stop_after_two)
    stopped = cli(*given)
    assert stopped.code == 130
    assert "the same command continues" in stopped.sentence
    (log,) = tmp_path.rglob("work.jsonl")
    assert log.read_bytes().count(b"\n") == 2

    computed = []
    monkeypatch.setattr(
        Run, "unit", lambda run, name, compute: real(run, name, _told(computed, name, compute))
    )
    continued = cli(*given).json
    assert not list(tmp_path.rglob("work.jsonl"))  # done: nothing is left behind
    assert "draw/0" not in computed
    assert "draw/2" in computed
    computed.clear()
    assert cli(*given).json["candidates"] == continued["candidates"]
    assert "draw/0" in computed


def _told(log: list[str], name: str, compute: Callable[[], object]) -> Callable[[], object]:
    def told() -> object:
        log.append(name)
        return compute()

    return told


def test_the_package_is_the_command_line_too() -> None:
    command = [sys.executable, "-m", "promptinfill", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"promptinfill {__version__}"
