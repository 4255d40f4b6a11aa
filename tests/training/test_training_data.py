"""From a recipe's sources to token arrays."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import covered, tiny_dlm, write_jsonl
from promptinfill.data.encoding import PROMPT, RESPONSE, EncodedSequence
from promptinfill.data.tokenized import TokenizedDataset
from promptinfill.errors import DataError
from promptinfill.training import data as data_module
from promptinfill.training.data import load_source
from promptinfill.training.recipe import DataSection, Source

DLM = tiny_dlm("llama")
TESTS = Path(__file__).parents[1]


def load(source: dict[str, Any], cache: Path | None = None, **section: Any) -> TokenizedDataset:
    parsed = Source.model_validate(source)
    whole = DataSection(train=parsed, validation=parsed, **{"eos_padding": 0, **section})
    return load_source(DLM, parsed, whole, cache=cache, workers=1)


def texts(data: TokenizedDataset) -> list[tuple[str, str]]:
    out = []
    for start, stop in zip(data.starts[:-1], data.starts[1:], strict=True):
        region = [int(flag) & 3 for flag in data.flags[start:stop]]
        sequence = EncodedSequence(data.ids[start:stop].tolist(), region)
        out.append((covered(DLM, sequence, PROMPT), covered(DLM, sequence, RESPONSE)))
    return out


def test_files_are_read_in_order(tmp_path: Path):
    one = write_jsonl(tmp_path / "1.jsonl", [{"prompt": "a:", "response": "b"}])
    talk = [{"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}]
    two = write_jsonl(tmp_path / "2.jsonl", [{"messages": talk}])
    data = load({"files": [one, two]})
    assert texts(data) == [("a:", "b"), ("User: c\nAssistant:", " d")]
    assert data.ids[data.starts[1:] - 1].tolist() == [DLM.eos_token_id] * 2


def test_a_template_gives_the_prompt(tmp_path: Path):
    path = write_jsonl(tmp_path / "1.jsonl", [{"word": "cat {x}", "first": "c"}])
    data = load({"files": [path], "template": "Word: {word}\nFirst: {first}", "response": "first"})
    assert texts(data) == [("Word: cat {x}\nFirst:", " c")]


def test_too_long_records_are_left_out_whole(tmp_path: Path):
    records = [{"prompt": "x" * n, "response": "yes"} for n in (3, 40, 5)]
    data = load({"files": [write_jsonl(tmp_path / "1.jsonl", records)]}, max_length=20)
    assert texts(data) == [("xxx", "yes"), ("xxxxx", "yes")]
    assert data.too_long == 1


def test_eos_padding_is_a_function_of_the_text(tmp_path: Path):
    records = [{"prompt": f"{n}:", "response": "yes"} for n in range(60)]
    source = {"files": [write_jsonl(tmp_path / "1.jsonl", records)]}
    plain, padded = load(source), load(source, eos_padding=6)
    extra = (padded.lengths - plain.lengths).tolist()
    assert set(extra) <= set(range(7))
    assert len(set(extra)) > 3
    assert extra == (load(source, eos_padding=6).lengths - plain.lengths).tolist()
    assert texts(padded) == texts(plain)
    for stop, count in zip(padded.starts[1:], extra, strict=True):
        tail = slice(stop - count - 1, stop)
        assert padded.ids[tail].tolist() == [DLM.eos_token_id] * (count + 1)
        assert {int(flag) & 3 for flag in padded.flags[tail]} == {RESPONSE}


def test_a_broken_record_is_named(tmp_path: Path):
    path = write_jsonl(tmp_path / "1.jsonl", [{"prompt": "a", "response": "b"}, {"prompt": "a"}])
    with pytest.raises(DataError, match=f"^{path}:2: field 'response' is missing"):
        load({"files": [path]})


def test_microtasks_are_generated_and_cached(tmp_path: Path):
    source = {"microtasks": {"count": 30, "seed": 4}}
    cache = tmp_path / "cache"
    made = load(source, cache, max_length=1000)
    assert len(made) == 30
    (file,) = cache.iterdir()
    again = load(source, cache, max_length=1000)
    assert again.ids.tolist() == made.ids.tolist()
    assert load(source, None, max_length=1000).ids.tolist() == made.ids.tolist()
    TokenizedDataset(made.ids[:3], made.flags[:3], np.array([0, 3])).save(file)
    assert len(load(source, cache, max_length=1000)) == 1  # so it was the cache that was read
    load({"microtasks": {"count": 30, "seed": 5}}, cache, max_length=1000)
    assert len(list(cache.iterdir())) == 2


def test_workers_make_what_one_process_makes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(data_module, "_SHARD", 7)
    source = Source.model_validate({"microtasks": {"count": 20, "seed": 4}})
    section = DataSection(train=source, validation=source, max_length=60, eos_padding=0)
    one, two = (load_source(DLM, source, section, workers=count) for count in (1, 2))
    assert one.too_long == two.too_long > 0
    assert one.ids.tolist() == two.ids.tolist()
    assert one.starts.tolist() == two.starts.tolist()


INTERRUPTED = """
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
from helpers import tiny_dlm
from promptinfill.training import data
from promptinfill.training.recipe import DataSection, Source

def shard(args):
    if args[3] == 0:  # the first shard
        os.killpg(os.getpgrp(), signal.SIGINT)  # Ctrl-C: the terminal tells the whole group
    return real(args)

real, data._generate_shard, data._SHARD = data._generate_shard, shard, 5
source = Source.model_validate({"microtasks": {"count": 20}})
section = DataSection(train=source, validation=source, max_length=1000)
data.load_source(tiny_dlm("llama"), source, section, workers=2)
"""


def test_ctrl_c_is_answered_by_one_process():
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
        capture_output=True,
        text=True,
        start_new_session=True,
        check=False,
        timeout=200,
    )
    assert ended.returncode != 0
    assert ended.stderr.rstrip().endswith("KeyboardInterrupt")
    assert ended.stderr.count("Traceback") == 1
    assert "ForkPoolWorker" not in ended.stderr
