"""Templates: parsing, canonical spelling, rendering, filling, and every message promised."""

import copy
import dataclasses
import itertools
import pickle
import re
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from promptinfill.errors import PromptInfillError, TemplateError
from promptinfill.templates import (
    MAX_HOLE_LENGTH,
    Field,
    Hole,
    Literal,
    Part,
    Template,
    escape,
)

# Fragments that make special text far likelier than random characters would.
FRAGMENTS = [
    *("{", "}", "[", "]", "{{", "}}", "[[", "]]", "[MASK", "[[MASK", "[MASK]", "[MASK:2]"),
    *("[MASK:3:a]", "[[MASK:4]]", "{x}", "{y}", "{a}", "MASK", "E", "_", ":", "0", "7", "٣", "a"),
    *("\n", " ", "\t", "\r\n", "é", "漢", "🙂"),
]
nasty_text = st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join) | st.text(max_size=20)
NAMES = ("x", "y", "question", "été")
HOLE_NAMES = {"task": 3, "style": 1, "rule_2": 17}  # name -> length


@st.composite
def part_lists(draw: st.DrawFn) -> list[Part]:
    """Parts as the scanner would give them: literals joined, holes numbered."""
    pieces = draw(
        st.lists(
            st.one_of(
                nasty_text.map(Literal),
                st.sampled_from(NAMES).map(Field),
                st.builds(Hole, st.integers(1, 40), st.none(), st.just(-1)),
                st.sampled_from(sorted(HOLE_NAMES)).map(lambda n: Hole(HOLE_NAMES[n], n, -1)),
            ),
            max_size=9,
        )
    )
    parts: list[Part] = []
    seen: dict[str | int, int] = {}
    for piece in pieces:
        match piece:
            case Literal(text) if parts and isinstance(parts[-1], Literal):
                parts[-1] = Literal(parts[-1].text + text)
            case Literal(""):
                pass
            case Hole(length, name):
                index = seen.setdefault(name if name else len(parts), len(seen))
                parts.append(Hole(length, name, index))
            case _:
                parts.append(piece)
    # The one thing the syntax cannot say: a hole alone within [ and ], which is the escape.
    for i in range(1, len(parts) - 1):
        before, after = parts[i - 1], parts[i + 1]
        if (
            isinstance(parts[i], Hole)
            and isinstance(before, Literal)
            and isinstance(after, Literal)
            and before.text.endswith("[")
            and after.text.startswith("]")
        ):
            parts[i + 1] = Literal(" " + after.text)
    return parts


def spell(parts: list[Part]) -> str:
    """A source for `parts`, written independently of the library except for `escape`."""
    spelled = []
    for part in parts:
        match part:
            case Literal(text):
                spelled.append(escape(text))
            case Field(name):
                spelled.append("{" + name + "}")
            case Hole(length, None):
                spelled.append(f"[MASK:{length}]")
            case Hole(length, name):
                spelled.append(f"[MASK:{length}:{name}]")
    return "".join(spelled)


@st.composite
def templates(draw: st.DrawFn) -> Template:
    source = spell(draw(part_lists()))
    response = draw(st.sampled_from((None, "output")))
    return Template(source + "{output}" if response else source, response=response)


@st.composite
def filled(draw: st.DrawFn) -> tuple[Template, dict[str, str], list[str]]:
    template = draw(templates())
    values = {name: draw(nasty_text) for name in template.fields}
    return template, values, [draw(nasty_text) for _ in template.holes]


# --- parsing -------------------------------------------------------------------------------------


def test_the_template_of_the_documentation() -> None:
    template = Template("[MASK:12]\nInput: {input}\nOutput: {output}", response="output")
    assert template.parts == (
        Hole(12, None, 0),
        Literal("\nInput: "),
        Field("input"),
        Literal("\nOutput: "),
        Field("output"),
    )
    assert template.fields == ("input", "output")
    assert template.prompt_fields == ("input",)
    assert template.holes == (Hole(12, None, 0),)
    assert template.source == str(template)


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("", ()),
        ("plain", (Literal("plain"),)),
        ("{a}{b}", (Field("a"), Field("b"))),
        ("{{{a}}}", (Literal("{"), Field("a"), Literal("}"))),
        ("{{a}}", (Literal("{a}"),)),
        ("{class}{_1}{été}", (Field("class"), Field("_1"), Field("été"))),
        ("[MASK]", (Hole(1, None, 0),)),
        ("[MASK:007]", (Hole(7, None, 0),)),
        ("[MASK:1:a]", (Hole(1, "a", 0),)),
        ("[MASK:2][MASK:2]", (Hole(2, None, 0), Hole(2, None, 1))),
        (
            "[MASK:3:a] [MASK] [MASK:3:a]",
            (Hole(3, "a", 0), Literal(" "), Hole(1, None, 1), Literal(" "), Hole(3, "a", 0)),
        ),
        ("[[MASK]]", (Literal("[MASK]"),)),
        ("[[MASK:3]]", (Literal("[MASK:3]"),)),
        ("[[MASK any words]]", (Literal("[MASK any words]"),)),
        ("[[[MASK:3]]]", (Literal("[[MASK:3]]"),)),
        ("say [[MASK here", (Literal("say [MASK here"),)),
        ("[[MASK{a}]", (Literal("[MASK"), Field("a"), Literal("]"))),
        ("[[MASK:3] x]", (Literal("["), Hole(3, None, 0), Literal(" x]"))),
        ("[[MASK:3][MASK]]", (Literal("["), Hole(3, None, 0), Hole(1, None, 1), Literal("]"))),
        ("[ [MASK:3] ]", (Literal("[ "), Hole(3, None, 0), Literal(" ]"))),
        ("[MASKED] [MASK_A] [mask:2]", (Literal("[MASKED] [MASK_A] [mask:2]"),)),
        ("[a] ] [[b]] [[MASKED]]", (Literal("[a] ] [[b]] [[MASKED]]"),)),
    ],
)  # fmt: skip
def test_parts(source: str, parts: tuple[Part, ...]) -> None:
    assert Template(source).parts == parts


@given(part_lists())
@example([Literal("["), Hole(2, None, 0), Literal(" ]")])
@example([Literal("[MASK"), Hole(2, None, 0), Literal("]")])
@example([Literal("[MASK["), Hole(2, None, 0)])
@example([Literal("[MASK:2"), Field("x"), Literal("]")])
def test_parse_finds_the_parts_that_were_spelled(parts: list[Part]) -> None:
    assert Template(spell(parts)).parts == tuple(parts)


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=14).map("".join) | st.text(max_size=30))
@example("[[MASK\n:3]]")
@example("[MASK:" + "9" * 5000 + "]")
def test_any_text_parses_and_round_trips_or_names_the_place(source: str) -> None:
    try:
        template = Template(source)
    except TemplateError as error:
        message = str(error)
    else:
        message = ""
    if message:
        line, column = map(int, re.match(r"template:(\d+):(\d+): ", message).groups())
        assert source.split("\n")[line - 1][column - 1] in "{}["
        return
    again = Template(str(template))
    assert again == template
    assert str(again) == str(template)
    assert all(isinstance(part, Field | Hole) or part.text for part in template.parts)
    kinds = [type(part) for part in template.parts]
    assert (Literal, Literal) not in set(itertools.pairwise(kinds))
    assert [hole.index for hole in template.holes] == list(range(len(template.holes)))


@given(templates())
def test_canonical_source_round_trips_with_the_response(template: Template) -> None:
    again = Template(str(template), response=template.response)
    assert again == template
    assert hash(again) == hash(template)
    assert pickle.loads(pickle.dumps(template)) == template
    assert copy.deepcopy(template) == template


@given(nasty_text)
@example("[MASK:3]]")
@example("[[MASK:3]")
@example("[MASK[MASK]")
@example("[MASK {a]")
@example("[MASKED] {}")
def test_escape_makes_any_text_a_literal(text: str) -> None:
    template = Template(escape(text))
    assert template.parts == ((Literal(text),) if text else ())
    assert template.render({}) == text


def test_equality_is_by_parts_and_response() -> None:
    assert Template("[MASK:1]{x}") == Template("[MASK]{x}")
    assert len({Template("[MASK:1]{x}"), Template("[MASK]{x}")}) == 1
    assert Template("{x}") != Template("{x}", response="x")
    assert Template("{x}") != Template("{y}")
    assert "response='x'" in repr(Template("{x}", response="x"))


def test_templates_are_immutable() -> None:
    template = Template("{x}")
    with pytest.raises(dataclasses.FrozenInstanceError):
        template.source = "{y}"  # type: ignore[misc]


def test_fields_and_holes_in_order_of_first_use() -> None:
    template = Template("{b}[MASK:2:h]{a}[MASK:4]{b}[MASK:2:h]{z}", response="z")
    assert template.fields == ("b", "a", "z")
    assert template.prompt_fields == ("b", "a")
    assert template.holes == (Hole(2, "h", 0), Hole(4, None, 1))


def test_importing_templates_needs_neither_torch_nor_transformers() -> None:
    code = (
        "import sys, promptinfill.templates;"
        "sys.exit(any(m in sys.modules for m in ('torch', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- rendering -----------------------------------------------------------------------------------


@given(filled())
def test_render_joins_literals_values_and_stripped_fillings(case) -> None:
    template, values, fillings = case
    expected = ""
    for part in template.parts:
        match part:
            case Literal(text):
                expected += text
            case Field(name):
                expected += values[name]  # as it is: never parsed, never stripped
            case Hole(_, _, index):
                expected += fillings[index].strip()
    assert template.render(values, fillings) == expected
    assert template.render(values, tuple(fillings), strict=True) == expected


@given(filled())
def test_segments_are_the_parts_in_order_and_join_to_the_text(case) -> None:
    template, values, fillings = case
    segments = template.segments(values, fillings)
    assert len(segments) == len(template.parts)
    assert "".join(segment.text for segment in segments) == template.render(values, fillings)
    for segment, part in zip(segments, template.parts, strict=True):
        assert segment.kind == type(part).__name__.lower()
        assert segment.name == getattr(part, "name", None)
        assert segment.hole == (part if isinstance(part, Hole) else None)
        is_response = segment.kind == "field" and segment.name == template.response
        assert segment.region == ("response" if is_response else "prompt")
    prompt = template.segments(values, fillings, with_response=False)
    assert prompt == tuple(s for s in segments if s.region == "prompt")
    assert "".join(s.text for s in prompt) == template.prompt(values, fillings)


@given(filled())
def test_open_holes_have_empty_text_and_change_nothing_else(case) -> None:
    template, values, fillings = case
    for left, right in zip(
        template.segments(values), template.segments(values, fillings), strict=True
    ):
        assert left == (dataclasses.replace(right, text="") if right.hole else right)


def test_prompt_ends_before_the_response_with_its_spaces() -> None:
    template = Template("Q: {q}\nA:  {a}", response="a")
    assert template.prompt({"q": "why"}) == "Q: why\nA:  "
    assert template.prompt({"q": "why", "a": "so"}) == "Q: why\nA:  "
    assert template.render({"q": "why", "a": " so "}) == "Q: why\nA:   so "
    assert template.render({"q": "why"}) == "Q: why\nA:  "


def test_spaces_of_the_template_decide_how_a_filling_joins() -> None:
    template = Template("a [MASK:2] b[MASK:2]c")
    assert template.render({}, [" x y\n", "\tz "]) == "a x y bzc"
    assert template.render({}, ["", "  "]) == "a  bc"


def test_fillings_by_name_go_to_every_place_of_the_name() -> None:
    template = Template("[MASK:2:rule]: {x}\n[MASK:2:rule] [MASK:3:end]")
    assert template.render({"x": "1"}, {"end": "stop", "rule": "add"}) == "add: 1\nadd stop"
    assert template.render({"x": "1"}, ["add", "stop"]) == "add: 1\nadd stop"


def test_values_are_data() -> None:
    template = Template("{x}|{y}")
    values = {"x": "{y} [MASK:3] }} [[MASK]]", "y": "{"}
    assert template.render(values) == "{y} [MASK:3] }} [[MASK]]|{"


def test_suspicious_values_names_fields_of_the_template_whose_value_looks_like_a_hole() -> None:
    template = Template("{a}{b}{c}{d}{e}{f}")
    values = {
        "f": "see [MASK:3:x]",
        "a": "[MASK]",
        "b": "{x} [mask] [MASKED]",
        "c": "[MASK unclosed",
        "d": "[MASK[MASK:2]",
        "other": "[MASK]",
    }
    assert template.suspicious_values(values) == ("a", "d", "f")


# --- filling, lengths, splitting -----------------------------------------------------------------


@given(filled())
def test_filling_first_is_the_same_as_filling_while_rendering(case) -> None:
    template, values, fillings = case
    closed = template.fill(fillings)
    assert closed.holes == ()
    assert closed.fields == template.fields
    assert closed.response == template.response
    assert closed.render(values) == template.render(values, fillings)
    assert Template(str(closed), response=closed.response) == closed


def test_a_filling_cannot_make_a_field_or_a_hole_even_with_its_neighbours() -> None:
    template = Template("[[MASK:3] {x} [[MASK[MASK:2]")
    closed = template.fill(["MASK:9]", ":7] {y}"])
    assert closed.parts == (Literal("[MASK:9] "), Field("x"), Literal(" [MASK:7] {y}"))
    assert str(closed) == "[[MASK:9]] {x} [[MASK:7]] {{y}}"


@given(filled(), st.data())
def test_with_hole_lengths_changes_lengths_only(case, data: st.DataObject) -> None:
    template, values, fillings = case
    lengths = [data.draw(st.integers(1, 99)) for _ in template.holes]
    longer = template.with_hole_lengths(lengths)
    assert [hole.length for hole in longer.holes] == lengths
    assert longer.with_hole_lengths([hole.length for hole in template.holes]) == template
    assert longer.render(values, fillings) == template.render(values, fillings)


@given(templates())
def test_header_and_block_split_before_the_line_of_the_first_field(template: Template) -> None:
    header, block = template.header_and_block()
    if not template.fields:
        assert (header, block) == (template.parts, ())
        return
    assert not any(isinstance(part, Field) for part in header)
    first = next(i for i, part in enumerate(block) if isinstance(part, Field))
    assert not any("\n" in part.text for part in block[:first] if isinstance(part, Literal))
    if header and block and isinstance(header[-1], Literal) and isinstance(block[0], Literal):
        joined = (*header[:-1], Literal(header[-1].text + block[0].text), *block[1:])
    else:
        joined = header + block
    assert joined == template.parts
    if header:
        assert isinstance(header[-1], Literal)
        assert header[-1].text.endswith("\n")


def test_header_and_block_of_a_usual_template() -> None:
    template = Template("Do [MASK:5].\n\n[MASK:2] in: {x}\nout: {y}", response="y")
    assert template.header_and_block() == (
        (Literal("Do "), Hole(5, None, 0), Literal(".\n\n")),
        (Hole(2, None, 1), Literal(" in: "), Field("x"), Literal("\nout: "), Field("y")),
    )
    assert Template("[MASK] {x}\n{y}").header_and_block()[0] == ()


def test_require_holes_accepts_a_template_with_holes() -> None:
    Template("[MASK]{x}").require_holes()


def test_the_longest_hole() -> None:
    assert Template(f"[MASK:{MAX_HOLE_LENGTH}]").holes[0].length == MAX_HOLE_LENGTH


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("a\nb {x", "template:2:3: unclosed '{': close the field with }, or write {{ for a"),
        ("{x {y}", "template:1:1: unclosed '{'"),
        ('{\n"json": 1}', "template:1:1: unclosed '{'"),
        ("{", "template:1:1: unclosed '{'"),
        ("{{{", "template:1:3: unclosed '{'"),
        ("x}", "template:1:2: stray '}': write }} for a literal brace"),
        ("{x}}", "template:1:4: stray '}'"),
        ("a{}", "template:1:2: a field needs a name: write letters, digits and _ only"),
        ("{x.y}", "template:1:1: 'x.y' is not a field name: write letters, digits and _ only"),
        ("{x:>3}", "template:1:1: 'x:>3' is not a field name: write letters, digits and _ only, "
                   "without spaces, format spec or attribute, as in {question}; literal braces "),
        ("{x!r}", "template:1:1: 'x!r' is not a field name"),
        ("{ x }", "template:1:1: ' x ' is not a field name"),
        ("{2x}", "template:1:1: '2x' is not a field name"),
        ("\n\n [MASK:0]", "template:3:2: a hole has from 1 to 65536 tokens, not 0: change its len"),
        ("[MASK:00:a]", "template:1:1: a hole has from 1 to 65536 tokens, not 0"),
        ("[MASK:65537]", "template:1:1: a hole has from 1 to 65536 tokens, not 65537"),
        ("[MASK:" + "9" * 9999 + "]", "template:1:1: a hole has from 1 to 65536 tokens, not 999"),
        ("[MASK:few]", "template:1:1: the length 'few' of [MASK:few] is not a number: write "
                       "[MASK], [MASK:n] or [MASK:n:name], or [[MASK:few]] for that text"),
        ("[MASK:]", "template:1:1: the length '' of [MASK:] is not a number"),
        ("[MASK:-3]", "template:1:1: the length '-3' of [MASK:-3] is not a number"),
        ("[MASK:٣]", "template:1:1: the length '٣' of [MASK:٣] is not a number"),
        ("[MASK:²]", "template:1:1: the length '²' of [MASK:²] is not a number"),
        ("[MASK::a]", "template:1:1: the length '' of [MASK::a] is not a number"),
        ("[MASK 3]", "template:1:1: [MASK 3] is not a hole: write [MASK], [MASK:n] or"),
        ("[MASK12]", "template:1:1: [MASK12] is not a hole"),
        ("[MASK:3:]", "template:1:1: '' is not a hole name: write letters, digits and _ only"),
        ("[MASK:3:a b]", "template:1:1: 'a b' is not a hole name"),
        ("[MASK:3:a:b]", "template:1:1: 'a:b' is not a hole name"),
        ("ab [MASK", "template:1:4: unterminated [MASK: close the hole with ], or write [[MASK"),
        ("[MASK:3\n]", "template:1:1: unterminated [MASK"),
        ("[MASK:{n}]", "template:1:1: unterminated [MASK"),
        ("[MASK:3:a]\n[MASK:5:a]", "template:2:1: hole 'a' has length 5 here and 3 before: one "
                                   "text has one length, so make them equal or rename one"),
        ("{a}\n[MASK:2:a]", "template:2:1: 'a' names both a hole and a field: rename one of them"),
        ("[MASK:2:a] {a}", "template:1:1: 'a' names both a hole and a field"),
    ],
)  # fmt: skip
def test_source_errors_name_the_place_and_the_remedy(source: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template(source)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{x}", "the template has no field for the response 'r' (its fields: x): "
                "end the template with {r}"),
        ("", "the template has no field for the response 'r' (its fields: none): "
             "end the template with {r}"),
        ("{x} {r}.", "template:1:8: '.' follows the response {r}: the response comes once, as the "
                     "last part, and nothing may follow it; remove what follows"),
        ("{r}\n", "template:1:4: '\\n' follows the response {r}"),
        ("{r}[MASK:3]", "template:1:4: '[MASK:3]' follows the response {r}"),
        ("{x}{r}a}}b[c", "template:1:7: 'a}}b[c' follows the response {r}"),
        ("{r}{x}", "template:1:4: '{x}' follows the response {r}"),
        ("{r}{r}", "template:1:4: '{r}' follows the response {r}"),
        ("x\n[MASK:3:r]", "template:2:1: the response 'r' is a hole: a response is a field, {r}"),
    ],
)  # fmt: skip
def test_response_errors(source: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template(source, response="r")
    assert str(caught.value).startswith(message)


ERRORS_IN_USE = [
    (
        lambda t: t.render({"q": "1"}, ["a", "b"]),
        "template:2:1: missing value for field 'x' (fields of the template: x, out; "
        "values given: q)",
    ),
    (lambda t: t.prompt({}, ["a", "b"]), "template:2:1: missing value for field 'x' (fields of the "
        "template: x, out; values given: none)"),
    (lambda t: t.segments({"x": "1"}), "template:2:5: missing value for field 'out'"),
    (lambda t: t.render({"x": 1}, ["a", "b"]), "template:2:1: the value of field 'x' is of type "
        "int: convert it to text"),
    (lambda t: t.render({"x": "1", "z": "2"}, ["a", "b"], strict=True),
        "unknown field 'z' (fields of the template: x, out): remove it"),
    (lambda t: t.prompt({"x": "1", "z": "2"}, ["a", "b"], strict=True), "unknown field 'z'"),
    (lambda t: t.segments({"x": "1", "z": "2", "out": ""}, strict=True), "unknown field 'z'"),
    (lambda t: t.render({"x": "1"}), "template:1:1: missing filling for hole 'h': pass fillings, "
        "or fill the template first"),
    (lambda t: t.prompt({"x": "1"}), "template:1:1: missing filling for hole 'h'"),
    (lambda t: t.fill(["a"]), "wrong number of fillings: 1 given, but the template's distinct "
        "holes are 2; give one for each, in order"),
    (lambda t: t.fill(["a", "b", "c"]), "wrong number of fillings: 3 given"),
    (lambda t: t.fill("ab"), "fillings are a list of texts, not one text: write [filling]"),
    (lambda t: t.fill(["a", None]), "template:1:11: the filling of hole 'i' is of type NoneType: "
        "convert it to text"),
    (lambda t: t.fill({"h": "a", "k": "b"}), "unknown hole name 'k': named holes are h, i"),
    (lambda t: t.fill({"h": "a"}), "template:1:11: missing filling for hole 'i' (given: h)"),
    (lambda t: t.with_hole_lengths([3]), "wrong number of lengths: 1 given, but the template's "
        "distinct holes are 2; give one for each, in order"),
    (lambda t: t.with_hole_lengths([3, 0]), "a hole has from 1 to 65536 tokens, not 0"),
    (lambda t: t.with_hole_lengths([3, 2.5]), "a hole has from 1 to 65536 tokens, not 2.5"),
    (lambda t: Template("a [MASK:4]").fill({}), "template:1:3: hole 1 has no name, so fillings by "
        "name cannot reach it: name it, [MASK:4:name], or give fillings as a list"),
    (lambda t: Template("[MASK] [MASK]").fill(["a", 2]), "template:1:8: the filling of hole 2 is "
        "of type int"),
    (lambda t: Template("{x}").require_holes(), "the template has no hole to fill: write [MASK:n] "
        "where n tokens shall stand"),
    (lambda t: Template(None), "a template is text, not of type NoneType"),
]  # fmt: skip


@pytest.mark.parametrize(("use", "message"), ERRORS_IN_USE)
def test_errors_in_use(use, message: str) -> None:
    template = Template("[MASK:2:h][MASK:3:i]\n{x} {out}", response="out")
    with pytest.raises(TemplateError) as caught:
        use(template)
    assert str(caught.value).startswith(message)
    assert isinstance(caught.value, PromptInfillError)


def test_extra_values_are_ignored_by_default() -> None:
    assert Template("{x}").render({"x": "1", "z": "2"}) == "1"
