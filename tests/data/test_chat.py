from typing import Any

import pytest

from helpers import CHAT_TEMPLATE, word_tokenizer
from promptinfill.data.chat import chat_segments
from promptinfill.errors import DataError


def message(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def tokenizer(chat_template: str | None) -> Any:
    made = word_tokenizer()
    made.chat_template = chat_template
    return made


TALK = [message("system", "Be brief."), message("user", "Hi {x}"), message("assistant", "Hello")]


def test_segments_follow_the_chat_template():
    segments = chat_segments("here", TALK, tokenizer(CHAT_TEMPLATE))
    assert [(s.text, s.kind, s.region) for s in segments] == [
        ("<bos><|system|>\n", "control", "prompt"),
        ("Be brief.", "field", "prompt"),
        ("<eos>\n<|user|>\n", "control", "prompt"),
        ("Hi {x}", "field", "prompt"),
        ("<eos>\n<|assistant|>\n", "control", "prompt"),
        ("Hello", "field", "response"),
    ]


def test_without_a_chat_template_roles_are_written_out():
    segments = chat_segments("here", TALK, tokenizer(None))
    assert "".join(s.text for s in segments) == "System: Be brief.\nUser: Hi {x}\nAssistant: Hello"
    assert [s.region for s in segments] == ["prompt"] * 5 + ["response"]
    assert "control" not in {s.kind for s in segments}


def test_earlier_answers_are_prompt():
    talk = [message("user", "a"), message("assistant", "b"), *TALK[1:]]
    for template in (CHAT_TEMPLATE, None):
        segments = chat_segments("here", talk, tokenizer(template))
        assert [s.text for s in segments if s.region == "response"] == ["Hello"]
        assert [s.text for s in segments if s.kind == "field"][:2] == ["a", "b"]


def test_contents_equal_to_one_another_or_to_markers_are_not_confused():
    talk = [message("user", "<|user|>\n"), message("user", "<|user|>\n"), message("assistant", "")]
    segments = chat_segments("here", talk, tokenizer(CHAT_TEMPLATE))
    assert [s.kind for s in segments] == ["control", "field"] * 3


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ("hello", "'messages' must be a list"),
        ([], "at least one message"),
        (["hello"], r"messages\[0\] needs 'role' and a text 'content'"),
        ([message("user", None)], r"messages\[0\] needs 'role' and a text 'content'"),
        ([message("user", ["a"])], r"messages\[0\] needs"),
        ([*TALK, {"content": "x"}], r"messages\[3\] has role None; known: system, user, assistant"),
        ([message("tool", "x")], r"messages\[0\] has role 'tool'; known: system"),
        (TALK[:2], "the last message must be the assistant's"),
    ],
)
def test_a_wrong_conversation_says_where_and_why(messages: Any, why: str):
    for template in (CHAT_TEMPLATE, None):
        with pytest.raises(DataError, match=f"^talk.jsonl:7: .*{why}"):
            chat_segments("talk.jsonl:7", messages, tokenizer(template))


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{% for m in messages[1:] %}{{ m['content'] }}{% endfor %}", "leaves out a message"),
        ("{{ raise_exception('no system, please') }}", "refuses the messages: no system, please"),
        ("{% for m in messages %}{{ m['content'] * 2 }}{% endfor %}", "writes a message twice"),
    ],
)
def test_a_chat_template_that_cannot_carry_the_messages(template: str, why: str):
    with pytest.raises(DataError, match=f"^talk.jsonl:7: the chat template {why}"):
        chat_segments("talk.jsonl:7", TALK, tokenizer(template))
