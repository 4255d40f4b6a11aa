"""Conversations to segments with exact spans, through the tokenizer's own chat template.

The chat template is rendered once with a private-use sentinel in place of each message's text and
cut at the sentinels. What lies between them (role markers, headers) is control text: its tokens are
never masked. No text is ever searched for.
"""

from typing import Any, Literal

from promptinfill.errors import DataError
from promptinfill.templates import Segment

_FIRST_SENTINEL = 0xF0000  # Unicode's private-use plane
ROLES = ("system", "user", "assistant")


def chat_segments(where: str, messages: Any, tokenizer: Any) -> tuple[Segment, ...]:
    """Segments of a conversation: the last assistant message is the response.

    Earlier messages of every role are prompt text. Without a chat template the messages are
    written one below the other, each behind its role's name.

    Raises:
        DataError: not a list of {"role", "content"}, unknown role, no assistant at the end, or a
            conversation that the chat template refuses.
    """
    _check(where, messages)
    if getattr(tokenizer, "chat_template", None):
        sentinels = [chr(_FIRST_SENTINEL + i) for i in range(len(messages))]
        marked = [
            {"role": m["role"], "content": s} for m, s in zip(messages, sentinels, strict=True)
        ]
        pieces = _cut(where, _rendered(where, tokenizer, marked), sentinels)
        kind: Literal["control", "literal"] = "control"
    else:
        names = [f"{m['role'].capitalize()}: " for m in messages]
        pieces = [names[0], *(f"\n{name}" for name in names[1:]), ""]
        kind = "literal"
    segments: list[Segment] = []
    for i, message in enumerate(messages):
        last = i == len(messages) - 1
        if pieces[i]:
            segments.append(Segment(pieces[i], kind, None, "prompt", None))
        region: Literal["prompt", "response"] = "response" if last else "prompt"
        segments.append(Segment(message["content"], "field", message["role"], region, None))
    return tuple(segments)


def _check(where: str, messages: Any) -> None:
    if not isinstance(messages, list) or not messages:
        raise DataError(f"{where}: 'messages' must be a list of at least one message")
    for i, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("content"), str):
            raise DataError(f"{where}: messages[{i}] needs 'role' and a text 'content'")
        if message.get("role") not in ROLES:
            known = ", ".join(ROLES)
            raise DataError(
                f"{where}: messages[{i}] has role {message.get('role')!r}; known: {known}"
            )
    if messages[-1]["role"] != "assistant":
        raise DataError(f"{where}: the last message must be the assistant's, it is the response")


def _rendered(where: str, tokenizer: Any, messages: list[dict[str, str]]) -> str:
    from jinja2 import TemplateError  # jinja2 comes with torch

    try:
        rendered: str = tokenizer.apply_chat_template(messages, tokenize=False)
    except TemplateError as error:
        raise DataError(f"{where}: the chat template refuses the messages: {error}") from None
    return rendered


def _cut(where: str, rendered: str, sentinels: list[str]) -> list[str]:
    pieces = []
    rest = rendered
    for sentinel in sentinels:
        before, found, rest = rest.partition(sentinel)
        if not found:
            raise DataError(f"{where}: the chat template leaves out a message; check its roles")
        pieces.append(before)
    pieces.append(rest)
    if any(sentinel in piece for piece in pieces for sentinel in sentinels):
        raise DataError(f"{where}: the chat template writes a message twice; it cannot be used")
    return pieces
