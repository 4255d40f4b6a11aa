import json
from pathlib import Path

import pytest

from promptinfill.errors import ModelError
from promptinfill.models.conventions import FORMAT_VERSION, Conventions

FULL = Conventions(
    mask_token="<|mask|>",
    logits_shift=1,
    schedule="cosine",
    policy={"stages": [{"until": 1, "policy": "full_sequence"}]},
    bos=False,
    eos_padding=False,
    suppressed_tokens=("é", "\n"),
)


@pytest.mark.parametrize("conventions", [Conventions("<mask>"), FULL])
def test_written_conventions_read_back(conventions: Conventions, tmp_path: Path):
    path = tmp_path / "diffusion_config.json"
    conventions.write(path)
    assert Conventions.read(path) == conventions
    values = json.loads(path.read_text())
    assert list(values)[:3] == ["mask_token", "logits_shift", "schedule"]
    assert values["format_version"] == FORMAT_VERSION


def test_only_the_mask_token_is_required(tmp_path: Path):
    path = tmp_path / "diffusion_config.json"
    path.write_text('{"mask_token": "[MASK]"}')
    assert Conventions.read(path) == Conventions("[MASK]")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('{\n "mask_token": "m",\n', (":3:", "not valid JSON")),
        ("[1]", ("JSON object", "'mask_token'")),
        ("{}", ("'mask_token'",)),
        ('{"mask_token": "m", "shift": 1}', ("unknown key 'shift'", "logits_shift")),
        ('{"mask_token": "m", "format_version": 99}', ("newer", "99", "upgrade")),
        ('{"mask_token": "m", "format_version": "1"}', ("format_version must be a number",)),
        ('{"mask_token": "m", "logits_shift": 2}', ("logits_shift must be 0 or 1, not 2",)),
        ('{"mask_token": 7}', ("mask_token must be text, not 7",)),
        ('{"mask_token": "m", "schedule": null}', ("schedule must be text",)),
        ('{"mask_token": "m", "bos": "yes"}', ("bos must be true or false",)),
        ('{"mask_token": "m", "suppressed_tokens": "ab"}', ("suppressed_tokens", "list")),
    ],
)
def test_errors_name_the_file_and_the_key(text: str, parts: tuple[str, ...], tmp_path: Path):
    path = tmp_path / "diffusion_config.json"
    path.write_text(text)
    with pytest.raises(ModelError) as caught:
        Conventions.read(path)
    for part in (str(path), *parts):
        assert part in str(caught.value)


def test_a_binary_file_is_not_utf8(tmp_path: Path):
    path = tmp_path / "diffusion_config.json"
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(ModelError, match="not UTF-8"):
        Conventions.read(path)
