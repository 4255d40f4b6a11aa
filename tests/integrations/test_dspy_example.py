"""The example that people copy runs as it stands, on the embedded model alone."""

import re
import runpy
from pathlib import Path

import pytest

pytest.importorskip("dspy")
ROOT = Path(__file__).parent.parent.parent


def test_the_example_improves_the_program(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(ROOT / "examples/dspy_infill.py"), run_name="__main__")
    out = capsys.readouterr().out
    before, after = map(float, re.search(r"validation (\S+) -> (\S+)", out).groups())
    assert after > before
    assert float(re.search(r"test accuracy (\S+)", out).group(1)) >= 0.5


def test_the_code_of_the_how_to_runs(tmp_path, monkeypatch):
    """Every python block of the how-to, one after another in one process."""
    text = (ROOT / "docs/how-to-dspy.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "how_to.py"
    path.write_text("\n".join(blocks), encoding="utf-8")
    names = runpy.run_path(str(path))
    assert names["better"].signature.instructions
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / "docs" / link).exists() or link.startswith("http"), link
