"""Pages of real runs: whole, self-contained, escaped; errors where there is no run."""

import json
import re
import shutil

import pytest
from suite import make_suite

from promptinfill.errors import DataError
from promptinfill.evaluation.audit import audit
from promptinfill.evaluation.document import (
    Code,
    Page,
    Paragraph,
    Picture,
    Section,
    Table,
    to_html,
    to_markdown,
    write_page,
)
from promptinfill.evaluation.report import build_page
from promptinfill.evaluation.reproduce import reproduce
from promptinfill.evaluation.transfer import transfer


@pytest.fixture(scope="module")
def finished(two_models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "run"
    reproduce(make_suite(*two_models), folder)
    return folder


def test_a_reproduce_run_as_one_file_and_as_markdown(finished, tmp_path):
    html, markdown = write_page(build_page(finished), tmp_path)
    page = html.read_text()
    assert not re.search(r"(src|href)=\"(?!data:)", page)  # nothing else is needed
    text = markdown.read_text()
    for heading in ("Claims", "Transfer", "Best and worst prompts", "Errors", "Settings"):
        assert f"## {heading}" in text
        assert f"<h2>{heading}</h2>" in page
    claims = json.loads((finished / "reproduce.json").read_text())["claims"]
    assert all(f"| {claim['verdict']} |" in text for claim in claims)
    pytest.importorskip("matplotlib")
    for name in re.findall(r"\]\((report_files/\S+)\)", text):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert "report_files/transfer.png" in text


def test_equal_runs_give_equal_pages(finished):
    assert to_html(build_page(finished)) == to_html(build_page(finished))


def test_transfer_and_audit_runs(two_models, tmp_path):
    from test_audit import SMALL

    a, b = two_models
    transfer({"a": a, "b": b}, ["first_letter"], effort=SMALL.effort, folder=tmp_path / "t")
    assert "filled by" in to_markdown(build_page(tmp_path / "t"), "x")
    audit({"a": [a], "b": [b]}, SMALL, folder=tmp_path / "a")
    text = to_markdown(build_page(tmp_path / "a"), "x")
    assert "a → b" in text
    assert "response perplexity" in text


def test_an_infill_run_groups_its_failures(two_models, tmp_path):
    from promptinfill import MaskedDiffusionLM, Template, infill

    rows = [{"input": w, "output": w[0]} for w in ["dog", "cat", "sun", "sky", "map", "pen"]]
    infill(
        Template("[MASK:2]\nInput: {input}\nOutput: {output}", "output"),
        rows[:2],
        dlm=MaskedDiffusionLM.from_pretrained(two_models[0]),
        validation=rows[2:4],
        test=rows[4:],
        candidates=2,
        folder=tmp_path,
    )
    text = to_markdown(build_page(tmp_path), "x")
    assert "2 of 2 test answers are not fully right" in text
    assert "## Chosen prompt" in text


def test_a_training_run(tmp_path):
    logs = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0, "eval_loss": 1.5}]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(e) + "\n" for e in logs))
    text = to_markdown(build_page(tmp_path), "x")
    assert "not finished" in text
    assert "| 2 | 1.500 |" in text


def test_text_of_others_is_escaped():
    evil = "<script>alert(1)</script> | x\ny"
    page = Page(evil, evil, [Section(evil, [Paragraph(evil), Code(evil), Table([evil], [[evil]])])])
    html = to_html(page)
    assert "<script>" not in html
    assert html.count("&lt;script&gt;") == 8
    assert "\\| x<br>y |" in to_markdown(page, "files")


def test_pictures_are_inside_the_html_and_beside_the_markdown(tmp_path):
    page = Page("t", "s", [Section("p", [Picture("dot", b"\x89PNG!", "a dot")]), Section("none")])
    html, markdown = write_page(page, tmp_path)
    assert "data:image/png;base64,iVBORyE=" in html.read_text()
    assert "![a dot](report_files/dot.png)" in markdown.read_text()
    assert "none" not in markdown.read_text()


def test_no_run_an_unfinished_run_and_a_strange_one(finished, tmp_path):
    with pytest.raises(DataError, match=r"settings\.json is not there: no run"):
        build_page(tmp_path)
    copy = shutil.copytree(finished, tmp_path / "copy")
    (copy / "reproduce.json").unlink()
    with pytest.raises(DataError, match=r"reproduce\.json is not there: .*unfinished"):
        build_page(copy)
    (copy / "settings.json").write_text('{"kind": "dance"}')
    with pytest.raises(DataError, match="unknown kind 'dance'"):
        build_page(copy)
