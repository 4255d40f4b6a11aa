"""Kept answers: asked once, found again, never mixed up."""

from pathlib import Path

import pytest

from promptinfill.errors import DataError
from promptinfill.infilling.response_cache import CachedTarget
from promptinfill.targets import Cost, Target


class Echo:
    name, batch_size = "echo", 4

    def __init__(self, **settings):
        self.settings = settings
        self.asked: list[str] = []

    def answer(self, prompts, *, max_tokens):
        self.asked += prompts
        return [p[:max_tokens] for p in prompts], Cost(len(prompts), 10 * len(prompts))

    def count_tokens(self, text):
        return len(text)


def test_a_prompt_is_asked_once_over_runs(tmp_path: Path):
    path, echo = tmp_path / "deep/answers.jsonl", Echo()
    cached = CachedTarget(echo, path)
    assert isinstance(cached, Target)
    assert cached.answer(["abc", "xyz", "abc"], max_tokens=2) == (["ab", "xy", "ab"], Cost(2, 20))
    assert cached.answer(["xyz", "new"], max_tokens=2) == (["xy", "ne"], Cost(1, 10))
    again = CachedTarget(echo, path)
    assert again.answer(["new", "abc"], max_tokens=2) == (["ne", "ab"], Cost())
    assert echo.asked == ["abc", "xyz", "new"]


def test_other_room_and_other_settings_are_other_questions(tmp_path: Path):
    path, echo, other = tmp_path / "answers.jsonl", Echo(seed=0), Echo(seed=1)
    CachedTarget(echo, path).answer(["abc"], max_tokens=2)
    assert CachedTarget(echo, path).answer(["abc"], max_tokens=3)[0] == ["abc"]
    CachedTarget(other, path).answer(["abc"], max_tokens=2)
    assert other.asked == ["abc"]


def test_a_line_cut_short_is_asked_again_and_a_broken_one_named(tmp_path: Path):
    path, echo = tmp_path / "answers.jsonl", Echo()
    CachedTarget(echo, path).answer(["abc", "xyz"], max_tokens=2)
    path.write_bytes(path.read_bytes()[:-4])
    assert CachedTarget(echo, path).answer(["abc", "xyz"], max_tokens=2)[0] == ["ab", "xy"]
    assert echo.asked == ["abc", "xyz", "xyz"]
    path.write_text("nonsense\n")
    with pytest.raises(DataError, match=r"answers\.jsonl:1: not a kept answer"):
        CachedTarget(echo, path)
