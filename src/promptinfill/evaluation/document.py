"""A page as plain blocks, and its two forms: one self-contained HTML file, and Markdown."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from promptinfill.files import write_text


@dataclass(frozen=True)
class Paragraph:
    """Running text."""

    text: str


@dataclass(frozen=True)
class Table:
    """Cells are texts; ``numeric`` columns (by number) are set flush right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: Sequence[int] = ()


@dataclass(frozen=True)
class Picture:
    """A PNG; ``name`` becomes its file name beside the Markdown."""

    name: str
    png: bytes
    caption: str


@dataclass(frozen=True)
class Code:
    """Text shown as it is."""

    text: str


Block = Paragraph | Table | Picture | Code


@dataclass
class Section:
    """A heading and its blocks; a section without blocks is left out."""

    title: str
    blocks: list[Block] = field(default_factory=list)


@dataclass
class Page:
    """A whole report."""

    title: str
    subtitle: str
    sections: list[Section] = field(default_factory=list)


_HTML = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ page.title }}</title>
<style>
:root { color-scheme: light; }
body { font: 15px/1.55 system-ui, sans-serif; color: #1f2933; max-width: 960px;
  margin: 2.5rem auto; padding: 0 1.25rem; background: #fff; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2.4rem 0 .6rem; }
.subtitle { color: #616e7c; margin: .2rem 0 1.5rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; margin: .6rem 0 1rem; }
th { text-align: left; font-weight: 600; color: #52606d; border-bottom: 1px solid #cbd2d9;
  vertical-align: bottom; }
td { border-bottom: 1px solid #eef1f4; vertical-align: top; overflow-wrap: anywhere; }
th, td { padding: .3rem .9rem .3rem 0; } .n { text-align: right; white-space: nowrap; }
tr.holds td:last-child { color: #23784a; } tr.fails td:last-child { color: #b4413c; }
pre { background: #f5f7fa; padding: .8rem 1rem; border-radius: 6px; overflow-x: auto;
  font-size: .82rem; white-space: pre-wrap; }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; }
figcaption { color: #616e7c; font-size: .85rem; }
</style></head><body>
<h1>{{ page.title }}</h1><p class="subtitle">{{ page.subtitle }}</p>
{% for section in page.sections if section.blocks %}<h2>{{ section.title }}</h2>
{% for block in section.blocks %}{% set kind = block.__class__.__name__ %}
{% if kind == "Paragraph" %}<p>{{ block.text }}</p>
{% elif kind == "Code" %}<pre>{{ block.text }}</pre>
{% elif kind == "Picture" %}<figure><img alt="{{ block.caption }}"
 src="data:image/png;base64,{{ encode(block.png) }}"><figcaption>{{ block.caption }}</figcaption>
</figure>
{% else %}<div class="wide"><table><thead><tr>{% for name in block.columns %}
<th{% if loop.index0 in block.numeric %} class="n"{% endif %}>{{ name }}</th>{% endfor %}</tr>
</thead><tbody>{% for row in block.rows %}<tr class="{{ tone(row) }}">{% for cell in row %}
<td{% if loop.index0 in block.numeric %} class="n"{% endif %}>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>{% endif %}{% endfor %}{% endfor %}
</body></html>
"""


def to_html(page: Page) -> str:
    """One file with everything inside; all text is escaped."""
    from jinja2 import Environment

    template = Environment(autoescape=True, trim_blocks=True).from_string(_HTML)
    return template.render(page=page, encode=_base64, tone=_tone)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _tone(row: Sequence[str]) -> str:
    return {"holds": "holds", "does not hold": "fails"}.get(row[-1], "") if row else ""


def to_markdown(page: Page, pictures: str) -> str:
    """Markdown text; pictures are referred to as files in the folder ``pictures``."""
    out = [f"# {page.title}", page.subtitle]
    for section in page.sections:
        if not section.blocks:
            continue
        out.append(f"## {section.title}")
        for block in section.blocks:
            if isinstance(block, Paragraph):
                out.append(block.text)
            elif isinstance(block, Code):
                fence = "```" if "```" not in block.text else "~~~~"
                out.append(f"{fence}\n{block.text}\n{fence}")
            elif isinstance(block, Picture):
                out.append(f"![{block.caption}]({pictures}/{block.name}.png)")
            else:
                out.append(_markdown_table(block))
    return "\n\n".join(out) + "\n"


def _markdown_table(table: Table) -> str:
    def line(cells: Sequence[str]) -> str:
        safe = (c.replace("|", "\\|").replace("\n", "<br>") for c in cells)
        return f"| {' | '.join(safe)} |"

    rule = ["---:" if i in table.numeric else "---" for i in range(len(table.columns))]
    return "\n".join([line(table.columns), line(rule), *(line(row) for row in table.rows)])


def write_page(page: Page, folder: Path) -> tuple[Path, Path]:
    """Write ``report.html``, ``report.md`` and the pictures that the latter needs."""
    html, markdown, pictures = folder / "report.html", folder / "report.md", folder / "report_files"
    for block in (b for s in page.sections for b in s.blocks if isinstance(b, Picture)):
        pictures.mkdir(parents=True, exist_ok=True)
        (pictures / f"{block.name}.png").write_bytes(block.png)
    write_text(html, to_html(page))
    write_text(markdown, to_markdown(page, pictures.name))
    return html, markdown
