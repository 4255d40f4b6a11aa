"""Prompt templates: ordinary text with `{fields}` that examples fill and holes that a model fills.

    Template("[MASK:12]\\nInput: {input}\\nOutput: {output}", response="output")

Syntax
    {name}             a field; a name is a Python identifier, without format spec or attribute
    [MASK]             a hole of one token
    [MASK:n]           a hole of n tokens
    [MASK:n:name]      a named hole; used twice, it is the same text in both places
    {{  }}             a literal { or }
    [[MASK...]]        the literal text [MASK...]; unclosed, `[[MASK` is the literal text [MASK
    anything else      is literal: [other brackets], [MASKED] and [mask] need no escape

One consequence: a hole alone within square brackets needs a space, `[ [MASK:3] ]`, because
`[[MASK:3]]` is the escape. `[[MASK:3], [MASK:2]]` is two holes in brackets, as it looks.

Response
    `response` names the field whose text the prompt asks for. It is the last part of the template
    and nothing may follow it, not even a line break; without it, the template is all prompt.

Joining
    The template's own spaces decide how a filling joins its neighbours: a filling is stripped of
    whitespace at both ends before it is put in place, and no space of the template is ever added
    or removed. Field values are data: they are put in place as they are and never parsed, so a
    brace or a `[MASK:3]` within a value is text (`Template.suspicious_values` names such fields).

This module knows nothing about tokens: a hole's length is a number that others give a meaning.
Every error is a `TemplateError`; one about the template's text begins `template:line:column:`.
"""

import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral

from promptinfill.errors import TemplateError

__all__ = ["MAX_HOLE_LENGTH", "Field", "Hole", "Literal", "Part", "Segment", "Template", "escape"]

MAX_HOLE_LENGTH = 65_536  # no model's context is so long: a larger number is a slip of the pen

Fillings: typing.TypeAlias = Sequence[str] | Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Literal:
    """Text of the template itself, unescaped. Never empty, and never beside another literal."""

    text: str


@dataclass(frozen=True, slots=True)
class Field:
    """A place that each example fills with its value of that name."""

    name: str


@dataclass(frozen=True, slots=True)
class Hole:
    """A place that the model fills with `length` tokens.

    `index` counts the distinct hole texts of the template from 0: places with one name share it.
    """

    length: int
    name: str | None
    index: int


Part: typing.TypeAlias = Literal | Field | Hole


@dataclass(frozen=True, slots=True)
class Segment:
    """The text of one part of a rendered template, and where it comes from.

    `text` is "" for an open hole, `name` the field's or the hole's, `hole` set for holes only. A
    template makes no "control" segments; chat templates do, for role markers.
    """

    text: str
    kind: typing.Literal["literal", "field", "hole", "control"]
    name: str | None
    region: typing.Literal["prompt", "response"]
    hole: Hole | None


@dataclass(frozen=True)
class Template:
    """A parsed template: immutable, equal to another when parts and response are equal.

    `Template(str(t), response=t.response) == t` always holds.

    Attributes:
        source: the text as it was given; `str(template)` is its canonical spelling.
        response: the name of the field that is the response, or None.
        parts: literals, fields and holes in order.
        fields: names of fields in order of first use, the response included.
        prompt_fields: the same without the response.
        holes: the distinct holes in order of first use, so that `holes[i].index == i`.

    Raises:
        TemplateError: the source does not parse, or the response is not its last field.
    """

    source: str = field(compare=False)
    response: str | None = None
    parts: tuple[Part, ...] = field(init=False, repr=False)
    fields: tuple[str, ...] = field(init=False, repr=False, compare=False)
    prompt_fields: tuple[str, ...] = field(init=False, repr=False, compare=False)
    holes: tuple[Hole, ...] = field(init=False, repr=False, compare=False)
    _offsets: tuple[int, ...] = field(init=False, repr=False, compare=False)  # parts in source

    def __post_init__(self) -> None:
        if not isinstance(self.source, str):
            raise TemplateError(f"a template is text, not {_type(self.source)}")
        placed = list(_parse(self.source))
        parts = tuple(part for _, part in placed)
        names = tuple(dict.fromkeys(part.name for part in parts if isinstance(part, Field)))
        computed = {
            "parts": parts,
            "fields": names,
            "prompt_fields": tuple(name for name in names if name != self.response),
            "holes": tuple(dict.fromkeys(part for part in parts if isinstance(part, Hole))),
            "_offsets": tuple(offset for offset, _ in placed),
        }
        for name, value in computed.items():
            object.__setattr__(self, name, value)  # the class is frozen for everybody else
        self._check_names()

    def render(
        self, values: Mapping[str, str], fillings: Fillings | None = None, *, strict: bool = False
    ) -> str:
        """The whole text; it ends before the response if `values` has none for it.

        Args:
            values: field name -> text. Extra names are ignored unless `strict`.
            fillings: one text for each of `holes`, in that order, or hole name -> text. Required if
                there are holes: an open hole has no text (`segments` shows holes left open).
            strict: raise on a value whose field the template does not have.

        Raises:
            TemplateError: a value or filling is missing, unknown or not text.
        """
        return self._text(values, fillings, with_response=self.response in values, strict=strict)

    def prompt(
        self, values: Mapping[str, str], fillings: Fillings | None = None, *, strict: bool = False
    ) -> str:
        """The text before the response, trailing spaces kept as in the template. See `render`."""
        return self._text(values, fillings, with_response=False, strict=strict)

    def segments(
        self,
        values: Mapping[str, str],
        fillings: Fillings | None = None,
        *,
        with_response: bool = True,
        strict: bool = False,
    ) -> tuple[Segment, ...]:
        """The rendered text in pieces, one `Segment` for each part in order.

        Without `fillings`, holes stay open. With `with_response` (the default) the response's value
        is required like any other, so that a solved example cannot lose its answer unnoticed.

        Raises:
            TemplateError: as `render`.
        """
        texts = [""] * len(self.holes) if fillings is None else self._texts_of_holes(fillings)
        self._check_values(values, self.fields if with_response else self.prompt_fields, strict)
        segments = []
        for part in self.parts:
            match part:
                case Literal(text):
                    segments.append(Segment(text, "literal", None, "prompt", None))
                case Hole(_, name, index):
                    segments.append(Segment(texts[index], "hole", name, "prompt", part))
                case Field(name) if name != self.response:
                    segments.append(Segment(values[name], "field", name, "prompt", None))
                case Field(name) if with_response:
                    segments.append(Segment(values[name], "field", name, "response", None))
        return tuple(segments)

    def fill(self, fillings: Fillings) -> "Template":
        """The template with every hole replaced by its filling as a literal, fields still open.

        `t.fill(f).render(values) == t.render(values, f)`.
        """
        texts = self._texts_of_holes(fillings)
        return self._with_parts(
            Literal(texts[part.index]) if isinstance(part, Hole) else part for part in self.parts
        )

    def with_hole_lengths(self, lengths: Sequence[int]) -> "Template":
        """The same template with other hole lengths, one for each of `holes` in that order."""
        self._require_one_each("length", lengths)
        return self._with_parts(
            replace(part, length=_checked_length(lengths[part.index]))
            if isinstance(part, Hole)
            else part
            for part in self.parts
        )

    def header_and_block(self) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
        """Split the parts at the start of the line that holds the first field.

        Above several solved examples the header is written once and the block once for each. A
        header ends with its line break; a template without fields is all header.
        """
        first = next((i for i, part in enumerate(self.parts) if isinstance(part, Field)), None)
        if first is None:
            return self.parts, ()
        for i in range(first - 1, -1, -1):
            part = self.parts[i]
            if isinstance(part, Literal) and "\n" in part.text:
                cut = part.text.rindex("\n") + 1
                rest = (Literal(part.text[cut:]),) if part.text[cut:] else ()
                return (*self.parts[:i], Literal(part.text[:cut])), (*rest, *self.parts[i + 1 :])
        return (), self.parts

    def suspicious_values(self, values: Mapping[str, str]) -> tuple[str, ...]:
        """Fields of the template whose value contains what looks like a hole.

        Such a value is rendered as the text that it is; callers may want to tell the user so.
        """
        return tuple(n for n in self.fields if n in values and _looks_like_hole(str(values[n])))

    def require_holes(self) -> None:
        """Raise a `TemplateError` if there is nothing for a model to fill."""
        if not self.holes:
            raise TemplateError(
                "the template has no hole to fill: write [MASK:n] where n tokens shall stand"
            )

    def __str__(self) -> str:
        return _unparse(self.parts)

    def _text(
        self,
        values: Mapping[str, str],
        fillings: Fillings | None,
        *,
        with_response: bool,
        strict: bool,
    ) -> str:
        if fillings is None and self.holes:
            raise self._error(
                self.holes[0],
                f"missing filling for {_describe(self.holes[0])}: pass fillings, "
                "or fill the template first",
            )
        pieces = self.segments(values, fillings, with_response=with_response, strict=strict)
        return "".join(piece.text for piece in pieces)

    def _with_parts(self, parts: Iterable[Part]) -> "Template":
        return Template(_unparse(parts), self.response)

    def _error(self, part: Part, message: str) -> TemplateError:
        """An error at the first place where `part` stands."""
        return _error_at(self.source, self._offsets[self.parts.index(part)], message)

    def _check_names(self) -> None:
        response = self.response
        for hole in self.holes:
            if hole.name is not None and hole.name == response:
                what = f"the response {response!r} is a hole: a response is a field, {{{response}}}"
                raise self._error(hole, what)
            if hole.name in self.fields:
                what = f"{hole.name!r} names both a hole and a field: rename one of them"
                raise self._error(hole, what)
        if response is None:
            return
        if response not in self.fields:
            raise TemplateError(
                f"the template has no field for the response {response!r} "
                f"(its fields: {_list(self.fields)}): end the template with {{{response}}}"
            )
        after = self.parts.index(Field(response)) + 1
        if after < len(self.parts):
            follower = _unparse(self.parts[after : after + 1])[:30]
            raise _error_at(
                self.source,
                self._offsets[after],
                f"{follower!r} follows the response {{{response}}}: the response comes once, "
                "as the last part, and nothing may follow it; remove what follows",
            )

    def _check_values(self, values: Mapping[str, str], wanted: Iterable[str], strict: bool) -> None:
        fields = f"fields of the template: {_list(self.fields)}"
        for name in wanted:
            if name not in values:
                what = f"missing value for field {name!r} ({fields}; values given: {_list(values)})"
                raise self._error(Field(name), what)
            if not isinstance(values[name], str):
                what = f"the value of field {name!r} is {_type(values[name])}: convert it to text"
                raise self._error(Field(name), what)
        for name in values:
            if strict and name not in self.fields:
                raise TemplateError(f"unknown field {name!r} ({fields}): remove it")

    def _texts_of_holes(self, fillings: Fillings) -> list[str]:
        """The stripped filling of each distinct hole, by index."""
        if isinstance(fillings, str):
            raise TemplateError("fillings are a list of texts, not one text: write [filling]")
        if isinstance(fillings, Mapping):
            texts = self._by_name(fillings)
        else:
            self._require_one_each("filling", fillings)
            texts = list(fillings)
        for hole, text in zip(self.holes, texts, strict=True):
            if not isinstance(text, str):
                raise self._error(
                    hole, f"the filling of {_describe(hole)} is {_type(text)}: convert it to text"
                )
        return [text.strip() for text in texts]

    def _require_one_each(self, noun: str, given: Sequence[object]) -> None:
        if len(given) != len(self.holes):
            raise TemplateError(
                f"wrong number of {noun}s: {len(given)} given, but the template's distinct holes "
                f"are {len(self.holes)}; give one for each, in order"
            )

    def _by_name(self, fillings: Mapping[str, str]) -> list[str]:
        names = [hole.name for hole in self.holes if hole.name is not None]
        for name in fillings:
            if name not in names:
                raise TemplateError(f"unknown hole name {name!r}: named holes are {_list(names)}")
        for hole in self.holes:
            if hole.name is None:
                raise self._error(
                    hole,
                    f"{_describe(hole)} has no name, so fillings by name cannot reach it: "
                    f"name it, [MASK:{hole.length}:name], or give fillings as a list",
                )
            if hole.name not in fillings:
                raise self._error(
                    hole, f"missing filling for {_describe(hole)} (given: {_list(fillings)})"
                )
        return [fillings[hole.name] for hole in self.holes if hole.name is not None]


def escape(text: str) -> str:
    """`text` in template syntax, such that `Template(escape(text))` is that text and nothing else.

    Escape a whole literal at once, up to the next field, hole or end: two halves of a `[MASK:3]`
    mean nothing apart.
    """
    pieces, at = [], 0
    while at < len(text):
        if _opens_hole(text, at):
            end = _find(_HOLE_ENDS, text, at + len(_MASK))
            closed = text.startswith("]", end)
            pieces.append("[" + text[at:end] + "]]" * closed)
            at = end + closed
        else:
            pieces.append(text[at] * 2 if text[at] in "{}" else text[at])
            at += 1
    return "".join(pieces)


# --- the scanner: one function for each thing that a special character may begin -----------------

_MASK = "[MASK"
_HOLE_ENDS = "[]{}\n"  # of these, only ] closes a hole


def _parse(source: str) -> Iterator[tuple[int, Part]]:
    """(offset, part) for each part of `source`, neighbouring literal text joined."""
    holes: dict[str | int, Hole] = {}  # by name, or by offset for those without
    texts: list[str] = []
    start = at = 0
    while at < len(source):
        try:
            token, end = _token(source, at)
            if isinstance(token, Hole):
                token = _numbered(token, holes, at)
        except TemplateError as error:
            raise _error_at(source, at, str(error)) from None
        if isinstance(token, str):
            start = start if texts else at
            texts.append(token)
        else:
            if texts:
                yield start, Literal("".join(texts))
                texts.clear()
            yield at, token
        at = end
    if texts:
        yield start, Literal("".join(texts))


def _numbered(hole: Hole, holes: dict[str | int, Hole], at: int) -> Hole:
    """`hole` with its index: that of its name if known, else the next, noted in `holes`."""
    known = holes.setdefault(hole.name or at, replace(hole, index=len(holes)))
    if known.length != hole.length:
        raise TemplateError(
            f"hole {hole.name!r} has length {hole.length} here and {known.length} before: "
            "one text has one length, so make them equal or rename one"
        )
    return known


def _token(source: str, at: int) -> tuple[str | Field | Hole, int]:
    """The literal text, field or hole (index not yet known) that begins at `at`, and its end.

    Errors of this function and of those it calls name no place: `_parse` adds it, `at`.
    """
    if source.startswith(("{{", "}}"), at):
        return source[at], at + 2
    if source[at] == "{":
        return _field(source, at)
    if source[at] == "}":
        raise TemplateError("stray '}': write }} for a literal brace")
    if _opens_hole(source, at):
        return _hole(source, at)
    if source[at] == "[":
        if _opens_hole(source, at + 1):
            end = _find(_HOLE_ENDS, source, at + 1 + len(_MASK))
            if source.startswith("]]", end):
                return source[at + 1 : end + 1], end + 2
            if not source.startswith("]", end):
                return source[at + 1 : end], end
        return "[", at + 1  # any other bracket, or the one before a hole: [[MASK:3] ...
    end = _find("{}[", source, at)
    return source[at:end], end


def _field(source: str, at: int) -> tuple[Field, int]:
    end = _find("{}\n", source, at + 1)
    if not source.startswith("}", end):
        raise TemplateError("unclosed '{': close the field with }, or write {{ for a literal brace")
    name = source[at + 1 : end]
    if not name.isidentifier():
        what = f"{name!r} is not a field name" if name else "a field needs a name"
        raise TemplateError(
            f"{what}: write letters, digits and _ only, without spaces, format spec or attribute, "
            "as in {question}; literal braces are {{ and }}"
        )
    return Field(name), end + 1


def _hole(source: str, at: int) -> tuple[Hole, int]:
    end = _find(_HOLE_ENDS, source, at + len(_MASK))
    if not source.startswith("]", end):
        raise TemplateError(
            "unterminated [MASK: close the hole with ], or write [[MASK for that text"
        )
    spelled = source[at : end + 1]
    if spelled == "[MASK]":
        return Hole(1, None, -1), end + 1
    advice = f"write [MASK], [MASK:n] or [MASK:n:name], or [{spelled}] for that text"
    junk, _, rest = spelled[len(_MASK) : -1].partition(":")
    digits, named, name = rest.partition(":")
    if junk:
        raise TemplateError(f"{spelled} is not a hole: {advice}")
    if not (digits.isascii() and digits.isdigit()):
        raise TemplateError(f"the length {digits!r} of {spelled} is not a number: {advice}")
    if named and not name.isidentifier():
        raise TemplateError(
            f"{name!r} is not a hole name: write letters, digits and _ only, as in [MASK:8:task]"
        )
    # Cut before int(), which refuses thousands of digits; what is left is still too long.
    digits = digits.lstrip("0")[: len(str(MAX_HOLE_LENGTH)) + 1]
    return Hole(_checked_length(int(digits or "0")), name or None, -1), end + 1


def _checked_length(length: int) -> int:
    if not isinstance(length, Integral) or not 1 <= length <= MAX_HOLE_LENGTH:
        raise TemplateError(
            f"a hole has from 1 to {MAX_HOLE_LENGTH} tokens, not {length!r}: change its length"
        )
    return int(length)


def _opens_hole(text: str, at: int) -> bool:
    """Whether `[MASK` stands at `at` as a word of its own: [MASKED] and [MASK_A] are just text."""
    after = text[at + len(_MASK) : at + len(_MASK) + 1]
    return text.startswith(_MASK, at) and not (after.isalpha() or after == "_")


def _looks_like_hole(text: str) -> bool:
    at = text.find(_MASK)
    while at >= 0:
        end = _find(_HOLE_ENDS, text, at + len(_MASK))
        if _opens_hole(text, at) and text.startswith("]", end):
            return True
        at = text.find(_MASK, at + 1)
    return False


def _find(characters: str, text: str, at: int) -> int:
    """The first offset from `at` of any of `characters`, or the end of `text`."""
    return next((i for i in range(at, len(text)) if text[i] in characters), len(text))


def _unparse(parts: Iterable[Part]) -> str:
    """The canonical source of `parts`."""
    source, text = [], ""
    for part in parts:
        if isinstance(part, Literal):
            text += part.text  # escaped together: "[" beside "MASK]" must not become a hole
            continue
        source.append(escape(text))
        text = ""
        match part:
            case Field(name):
                source.append(f"{{{name}}}")
            case Hole(1, None):
                source.append(f"{_MASK}]")
            case Hole(length, None):
                source.append(f"{_MASK}:{length}]")
            case Hole(length, name):
                source.append(f"{_MASK}:{length}:{name}]")
    return "".join([*source, escape(text)])


# --- words for people ----------------------------------------------------------------------------


def _error_at(source: str, offset: int, message: str) -> TemplateError:
    line = source.count("\n", 0, offset) + 1
    column = offset - source.rfind("\n", 0, offset)
    return TemplateError(f"template:{line}:{column}: {message}")


def _describe(hole: Hole) -> str:
    return f"hole {hole.index + 1}" if hole.name is None else f"hole {hole.name!r}"


def _list(names: Iterable[str]) -> str:
    return ", ".join(map(str, names)) or "none"


def _type(value: object) -> str:
    return f"of type {type(value).__name__}"
