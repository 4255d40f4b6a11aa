"""Every reason to reject a prompt, and that a good one passes."""

import pytest

from optimizer_helpers import BLOCK
from promptinfill.errors import PromptInfillError
from promptinfill.optimizers.guards import Guards
from promptinfill.templates import Template

FROZEN = Template("Dear model.\n[MASK:4] Be {{brief}}." + BLOCK, "output")
EXAMPLES = [{"input": "the quick brown fox jumps", "output": "t"}]


def prompt(text: str) -> str:
    return f"Dear model.\n{text} Be {{{{brief}}}}.{BLOCK}"


def guards(**how) -> Guards:
    return Guards(FROZEN, lambda text: len(text.split()), EXAMPLES, **how)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (prompt("Write the first letter."), None),
        (prompt("A quick brown fox."), None),
        ("Hello.\nWrite. Be {{brief}}." + BLOCK, "lost frozen text"),
        (prompt("Write.").replace("brief", "long"), "lost frozen text"),
        (prompt("Write.").replace("{input}", "it"), "lost field"),
        (prompt("Write {input}"), "lost frozen text"),
        (prompt("Write {other}"), "lost field"),
        (prompt("Write { it"), "lost field"),
        (prompt("Write [MASK:2]"), "mask left"),
        (prompt("Write <mask> it"), "mask left"),
        (prompt(""), "empty"),
        (prompt("!!"), "no word"),
        (prompt("Write the quick brown fox again"), "copies an example"),
    ],
)
def test_reasons(text, reason):
    assert guards().reason(text) == reason


def test_too_long_and_copies_can_be_set():
    assert guards(max_tokens=8).reason(prompt("Write the first letter.")) == "too long"
    assert guards(ngram=0).reason(prompt("Write the quick brown fox")) is None


def test_rejections_are_counted_and_nothing_is_repaired():
    made = guards()
    good = prompt("Write.")
    assert made.keep([good, good, prompt(""), prompt("Write [MASK]")]) == [good]
    assert made.rejected == {"duplicate": 1, "empty": 1, "mask left": 1}


def test_impossible_limits_are_errors():
    with pytest.raises(PromptInfillError, match="prompt-token limit is 0"):
        guards(max_tokens=0)
    with pytest.raises(PromptInfillError, match="ngram is -1"):
        guards(ngram=-1)
