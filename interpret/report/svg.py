"""Figures as SVG to stand inside a page: text as text, equal bytes for equal content."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from .formats import integer, name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#d55e00",
    "#332288",
    "#ddcc77",
    "#117733",
    "#aa4499",
    "#44aa99",
    "#882255",
    "#999933",
    "#88ccee",
    "#661100",
    "#6699cc",
    "#ee99aa",
    "#004488",
)
"""Colours of Okabe & Ito 2008 and Tol 2021, made for the colour-blind; colours repeat after 18,
so that every mark also carries a number or a name."""

NONE_COLOUR = "#c9c9c9"
"""Colour of cells without a state or a label."""

_STYLE = {
    "axes.edgecolor": "#555555",
    "axes.linewidth": 0.6,
    "figure.facecolor": "white",
    # It comes with matplotlib, so that the layout is the same everywhere.
    "font.family": ["DejaVu Sans"],
    "font.size": 9.0,
    "svg.fonttype": "none",
    # A label may hold a dollar sign.
    "text.parse_math": False,
    "text.color": "#1a1a1a",
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
}


def colour(position: int) -> str:
    """Return the colour of a category, -1 for none."""
    return PALETTE[position % len(PALETTE)] if position >= 0 else NONE_COLOUR


def ink(background: str) -> str:
    """Return black or white, whichever is easier to read on a colour."""
    red, green, blue = (int(background[i : i + 2], 16) / 255 for i in (1, 3, 5))
    # Relative luminance with a square for the sRGB curve; 0.18 gives equal contrast to both.
    return "#000000" if 0.21 * red**2 + 0.72 * green**2 + 0.07 * blue**2 > 0.18 else "#ffffff"


@contextmanager
def drawing() -> Iterator[None]:
    """Draw in the style of the report, whatever style the caller has set."""
    from matplotlib import style

    with style.context(["default", _STYLE]), warnings.catch_warnings():
        # The reader's fonts set the text; that ours lack a letter does not matter.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        yield


def legend(
    axes: "Axes",
    names: list[str],
    sizes: list[int],
    *,
    tags: list[str] | None = None,
    below: float = -0.02,
) -> None:
    """Put names with colour, tag (a number where none is given) and size below the axes."""
    from matplotlib.lines import Line2D

    marks = [
        Line2D([], [], marker="o", linestyle="", color=colour(i), markersize=6)
        for i in range(len(names))
    ]
    tags = tags or [str(i) for i in range(1, len(names) + 1)]
    texts = [
        f"{tag}  {name(text)} ({integer(size)})"
        for tag, text, size in zip(tags, names, sizes, strict=True)
    ]
    axes.legend(
        marks,
        texts,
        loc="upper left",
        bbox_to_anchor=(0.0, below),
        ncols=2,
        frameon=False,
        fontsize=8.5,
        handletextpad=0.2,
        columnspacing=1.0,
        borderaxespad=0.0,
    )


def inline(figure: "Figure", *, key: str, alt: str) -> Markup:
    """Return a figure as an ``svg`` element for HTML.

    Parameters
    ----------
    figure
        The figure, drawn within :func:`drawing`.
    key
        Name of the figure, unique in the page; ids inside start with it.
    alt
        What the figure shows, for readers who cannot see it.
    """
    from matplotlib import rc_context

    text = StringIO()
    with rc_context({"svg.hashsalt": key}):
        figure.savefig(
            text, format="svg", dpi=180, bbox_inches="tight", pad_inches=0.05, metadata=_NO_METADATA
        )
    return Markup(_for_html(text.getvalue(), key, alt))


_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


def _for_html(text: str, key: str, alt: str) -> str:
    body = text[text.index("<svg") :]
    opening, rest = body.split(">", 1)
    box = re.search(r'viewBox="([^"]+)"', opening)
    width = re.search(r' width="([\d.]+)pt"', opening)
    rest = re.sub(r"\s*<metadata>.*?</metadata>", "", rest, flags=re.DOTALL)
    # Only between < and >: what looks like an id in a label is text.
    rest = re.sub(r"<[^>]+>", lambda tag: _adapt(tag[0], key), rest)
    return (
        f'<svg role="img" aria-label="{escape(alt)}" viewBox="{box[1] if box else ""}" '
        f'style="width:{float(width[1]) if width else 0:.0f}pt">{rest}'
    )


_FONTS = "Helvetica, Arial, 'DejaVu Sans', sans-serif"


def _adapt(tag: str, key: str) -> str:
    tag = re.sub(r'\bid="', f'id="{key}-', tag)
    tag = tag.replace('xlink:href="', 'href="').replace("'DejaVu Sans'", _FONTS)
    return tag.replace('href="#', f'href="#{key}-').replace("url(#", f"url(#{key}-")
