"""The code that people copy runs as it stands."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    """The ten lines print a prompt over the template's fields and save a result."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "readme.py").write_text(code, encoding="utf-8")
    runpy.run_path(str(tmp_path / "readme.py"))
    assert "\nInput: {input}\nOutput: {output}" in capsys.readouterr().out
    assert (tmp_path / "runs/first-letter/result.json").is_file()


def test_the_example_writes_a_prompt_that_works(capsys):
    """A model that is locked, or a broken default, would not reach half of the test words."""
    runpy.run_path(str(ROOT / "examples/infill_own_data.py"), run_name="__main__")
    score = float(re.search(r"test accuracy (\S+)", capsys.readouterr().out).group(1))
    assert score >= 0.5


@pytest.mark.parametrize(
    "document", ["README.md", "docs/method.md", "docs/how-to-unlock.md", "CONTRIBUTING.md"]
)
def test_links_lead_somewhere(document):
    """Relative links of the documents name files of the repository."""
    path = ROOT / document
    links = re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8"))
    for link in links:
        assert (path.parent / link).exists() or link.startswith("http"), link


# configs/reproduce holds suites, which tests/evaluation/test_reproduce.py loads.
RECIPES = sorted(p for p in (ROOT / "configs").rglob("*.yaml") if p.parent.name != "reproduce")


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda p: p.stem)
def test_recipes_load(recipe):
    """Every recipe that ships is valid."""
    from promptinfill.training.recipe import load_recipe

    assert load_recipe(recipe).training.steps > 0
