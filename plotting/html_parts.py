"""The pieces of the page that `--dashboard` writes: HTML that needs no other file."""

from __future__ import annotations

import base64
import re
from html import escape
from typing import TYPE_CHECKING, Any

from plotting.drawing import picture

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

INK = "#010203"  # becomes the colour of the page's text; pictures use it for nothing else
# Matplotlib's settings for a figure that fits into the page, light or dark.
FIGURE_STYLE: Any = {
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "axes.labelsize": 10,
    "figure.facecolor": "none",
    "font.size": 11,
    "legend.edgecolor": "none",
    "svg.fonttype": "none",  # text stays text: searched, read aloud and in the page's font
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
MEDIA_TYPES = {".mp4": "video/mp4", ".webm": "video/webm", ".gif": "image/gif"}

_CSS = """
:root { color-scheme: light dark; --page: #ffffff; --card: #f5f6f8; --ink: #1d2129;
  --faint: #586071; --line: #d5d9e0; --accent: #1660a8; }
@media (prefers-color-scheme: dark) {
  :root { --page: #14171c; --card: #1d2128; --ink: #e6e9ee; --faint: #a3acba; --line: #3a414d;
    --accent: #7db8f0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1rem; background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2rem 0 .6rem; }
p { margin: .3rem 0; overflow-wrap: anywhere; }
.faint, figcaption { color: var(--faint); font-size: .9rem; }
.grid { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 28rem), 1fr)); }
figure { margin: 0; padding: .6rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .5rem; min-width: 0; }
figcaption { overflow-wrap: anywhere; }
figure svg, figure img, figure video { display: block; width: 100%; height: auto; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .95rem; }
caption { text-align: left; color: var(--faint); font-size: .9rem; padding-bottom: .3rem; }
th, td { padding: .35rem .6rem; border-bottom: 1px solid var(--line); text-align: right;
  font-variant-numeric: tabular-nums; vertical-align: top; }
th:first-child { text-align: left; }
thead th { color: var(--faint); font-weight: 600; }
tbody th { font-weight: 400; overflow-wrap: anywhere; }
details { margin: .5rem 0; border: 1px solid var(--line); border-radius: .5rem;
  background: var(--card); padding: .5rem .8rem; }
summary { cursor: pointer; color: var(--accent); font-weight: 600; overflow-wrap: anywhere; }
details[open] summary { margin-bottom: .5rem; }
""".strip()


def page(title: str, introduction: str, sections: Iterable[tuple[str, str]]) -> str:
    """Returns the whole page.

    Args:
        title: its heading, as text.
        introduction: stands under the heading, as text.
        sections: heading, as text, and content, as HTML; those without content are left out.
    """
    body = "\n".join(
        f"<section>\n<h2>{escape(heading)}</h2>\n{content}\n</section>"
        for heading, content in sections
        if content
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>
{_CSS}
</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
<p class="faint">{escape(introduction)}</p>
</header>
<main>
{body}
</main>
</body>
</html>
"""


def table(caption: str, heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table of text, which scrolls where it is too wide for the page."""
    return "\n".join(_table_lines(caption, heading, rows))


def _table_lines(
    caption: str, heading: Sequence[str], rows: Iterable[Sequence[str]]
) -> Iterator[str]:
    # Something that scrolls must be in reach of the keyboard, and then needs a name.
    yield f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}">'
    yield f"<table>\n<caption>{escape(caption)}</caption>"
    names = "".join(f'<th scope="col">{escape(name)}</th>' for name in heading)
    yield f"<thead><tr>{names}</tr></thead>\n<tbody>"
    for first, *others in rows:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in others)
        yield f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>'
    yield "</tbody>\n</table>\n</div>"


def details(summary: str, content: str, is_open: bool = False) -> str:
    """Returns a line of text under which HTML can be opened and closed."""
    opened = " open" if is_open else ""
    return f"<details{opened}>\n<summary>{escape(summary)}</summary>\n{content}\n</details>"


def inline_svg(figure: Figure, name: str, caption: str, description: str) -> str:
    """Returns a figure, drawn in `FIGURE_STYLE`, as a part of the page.

    Args:
        figure: the figure.
        name: a prefix for its ids, which no other figure of the page has.
        caption: stands under it.
        description: is read aloud in place of it.
    """
    text = picture(figure, "svg").decode()
    text = text[text.index("<svg") :].strip()
    text = re.sub("<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # SVG within HTML needs no namespaces, and the page sets the size.
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text).replace("xlink:href=", "href=")
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(\bid="|\bhref="#|url\(#)', rf"\g<1>{name}-", text)
    text = text.replace(INK, "currentColor")
    label = f'<svg role="img" aria-label="{escape(description)}"'
    text = text.replace("<svg", label, 1)
    return f"<figure>\n{text}\n<figcaption>{escape(caption)}</figcaption>\n</figure>"


def video(path: Path, caption: str) -> str:
    """Returns a video, with all its bytes within the page; its suffix is one of `MEDIA_TYPES`.

    Raises:
        OSError: it can't be read.
    """
    kind = MEDIA_TYPES[path.suffix.lower()]
    data = f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
    label = escape(f"Video of a game: {caption}")
    shown = f'<video src="{data}" controls muted loop playsinline aria-label="{label}"></video>'
    if kind == "image/gif":
        shown = f'<img src="{data}" alt="{label}">'
    return f"<figure>\n{shown}\n<figcaption>{escape(caption)}</figcaption>\n</figure>"
