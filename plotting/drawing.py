"""What all pictures share: numbers on axes, means of episodes, thinned lines, and files."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np

from storage.files import replacing

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from plotting.log_table import Values


LARGEST = 1e100  # Values beyond overflow matplotlib's arithmetic; they count as not finite.
# The time of drawing is left out, so that the same log gives the same file.
_NO_DATE: dict[str, dict[str, None]] = {
    "png": {},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}


def count_text(value: float, _position: object = None) -> str:
    """Returns a number as short as an axis needs it: 5,000, 250k, 1.5M."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value / 1e3:g}k" if abs(value) >= 1e4 else f"{value:,g}"


def is_finite(*values: Values) -> np.ndarray:
    """Returns where all of these arrays, [N] each, have values that can be drawn, [N] bool."""
    return np.logical_and.reduce([np.abs(array) < LARGEST for array in values])


def bucket_means(values: Values, size: int) -> Values:
    """Returns the means of buckets of `size` consecutive values; the last has what is left over."""
    full = len(values) - len(values) % size
    means = values[:full].reshape(-1, size).mean(axis=1)
    return np.append(means, values[full:].mean()) if full < len(values) else means


def thinned(x: Values, y: Values, columns: int) -> tuple[Values, Values]:
    """Returns as few points of a line as make the same picture as all of them.

    These are the first, the lowest, the highest and the last in each column of pixels: Jugel et al.
    2014, "M4: A Visualization-Oriented Time Series Data Aggregation".

    Args:
        x: [N], not decreasing.
        y: [N].
        columns: the picture's width in pixels.
    """
    if len(x) <= 4 * columns:
        return x, y
    edges = np.linspace(x[0], x[-1], columns + 1)[:-1]
    starts = np.unique(np.searchsorted(x, edges))
    ends = np.append(starts[1:], len(x)) - 1
    column = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(x)))
    # Sorted by column, and in it by value: the lowest come first and the highest last.
    order = np.lexsort((y, column))
    kept = np.unique(np.concatenate([starts, ends, order[starts], order[ends]]))
    return x[kept], y[kept]


def write_figure(figure: Figure, path: Path) -> None:
    """Writes a picture whole, in place of an old one.

    Args:
        figure: the picture.
        path: its file; the suffix says the format, png, svg or pdf.

    Raises:
        OSError: it can't be written.
    """
    content = picture(figure, path.suffix.lower().removeprefix("."))
    with replacing(path) as beside:
        beside.write_bytes(content)


def picture(figure: Figure, file_format: str, **style: Any) -> bytes:
    """Returns the bytes of a picture's file.

    Args:
        figure: the picture.
        file_format: png, svg or pdf.
        **style: settings of matplotlib, with `_` for `.`, such as `svg_fonttype`.
    """
    settings: Any = {name.replace("_", "."): value for name, value in style.items()}
    # The renderer refuses a line of very many points, unless it is drawn in chunks.
    settings |= {"agg.path.chunksize": 10_000, "svg.hashsalt": "reward_visualizer"}
    metadata: Any = _NO_DATE[file_format]
    content = io.BytesIO()
    # The only warning is of letters that the font lacks.
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        figure.savefig(content, format=file_format, metadata=metadata)
    return content.getvalue()
