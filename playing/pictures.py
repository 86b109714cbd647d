"""Pictures of a game: in the console's aspect, with the score and what the agent sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

ASPECT = 1.3  # width of the games' pixels, by their height
SCALE = 2  # pixels of the picture for each pixel of the game, in height
MARGIN = 8  # pixels around what is drawn
LINE = 22  # pixels from one line of text to the next
FRAMES_A_ROW = 4
SALIENCY_SIZE = 252  # at most, where the frame is smaller
ACTIONS_WIDTH, NAME_WIDTH = 260, 130
WHITE, GREY, YELLOW, RED = (255, 255, 255), (150, 150, 150), (255, 220, 60), (255, 0, 0)


class Insight(NamedTuple):
    """What the agent sees at a step, and how it acts."""

    state: np.ndarray  # [H, W, k] uint8, as the network gets it
    action_names: Sequence[str]
    values: np.ndarray  # [A] float32, the Q value of each action
    action: int  # the chosen one
    saliency: np.ndarray  # [H, W] float32, 0 or more


def game_picture(screen: np.ndarray, score: float) -> np.ndarray:
    """Returns a screen, enlarged in the console's aspect, under a line with the score.

    Args:
        screen: [height, width, 3] uint8 RGB.
        score: points so far.

    Returns:
        [height × 2 + 26, width × 2.6, 3] uint8 RGB.
    """
    height, width, _ = screen.shape
    size = (round(width * ASPECT * SCALE), height * SCALE)
    enlarged = cv2.resize(screen, size, interpolation=cv2.INTER_NEAREST)
    line = np.zeros((LINE + 4, size[0], 3), np.uint8)
    _write(line, f"score {score:g}", MARGIN, LINE - 5)
    return np.concatenate([line, enlarged])


def insight_picture(insight: Insight) -> np.ndarray:
    """Returns the Q values of the actions beside the frames of the state and the saliency map.

    The frames are drawn pixel by pixel as the network gets them, the oldest first.

    Returns:
        [height, width, 3] uint8 RGB.
    """
    return _side_by_side(_actions(insight), _stacked(_frames(insight), _saliency(insight)))


def with_insight(picture: np.ndarray, insight: Insight) -> np.ndarray:
    """Returns a picture, [height, width, 3] uint8 RGB, beside what the agent sees."""
    return _side_by_side(picture, insight_picture(insight))


def _actions(insight: Insight) -> np.ndarray:
    """Returns a line for each action: name, Q value and a bar. The chosen action is marked."""
    values = insight.values
    canvas = np.zeros((LINE * (len(values) + 1) + MARGIN, ACTIONS_WIDTH, 3), np.uint8)
    _write(canvas, "Q value of each action", MARGIN, LINE - 5)
    spread = max(float(values.max() - values.min()), 1e-9)
    for row, (name, value) in enumerate(zip(insight.action_names, values, strict=True), start=1):
        is_chosen = row - 1 == insight.action
        colour = YELLOW if is_chosen else GREY
        base = LINE * (row + 1) - 5
        _write(canvas, ("> " if is_chosen else "  ") + name, MARGIN, base, colour)
        left = MARGIN + NAME_WIDTH
        _write(canvas, f"{value:7.3f}", left, base, colour)
        length = round((ACTIONS_WIDTH - left - MARGIN) * (float(value) - values.min()) / spread)
        canvas[base + 2 : base + 5, left : left + length + 1] = colour
    return canvas


def _frames(insight: Insight) -> np.ndarray:
    """Returns the frames of the state, four a row, under a title."""
    height, width, count = insight.state.shape
    columns, rows = min(count, FRAMES_A_ROW), -(-count // FRAMES_A_ROW)
    shape = (LINE + rows * (height + MARGIN), columns * (width + MARGIN), 3)
    canvas = np.zeros(shape, np.uint8)
    _write(canvas, "what the network sees", 0, LINE - 5)
    for number in range(count):
        row, column = divmod(number, FRAMES_A_ROW)
        top, left = LINE + row * (height + MARGIN), column * (width + MARGIN)
        canvas[top : top + height, left : left + width] = insight.state[..., number, None]
    return canvas


def _saliency(insight: Insight) -> np.ndarray:
    """Returns the newest frame, redder where the Q values depend more on it."""
    newest = insight.state[..., -1:].astype(np.float32).repeat(3, axis=-1)
    # Relative to the largest of this state, which changes from step to step and says little.
    share = insight.saliency / max(float(insight.saliency.max()), 1e-12)
    blended = newest + share[..., None] * (np.array(RED, np.float32) - newest)
    times = max(1, SALIENCY_SIZE // len(newest))
    enlarged = np.rint(blended).astype(np.uint8).repeat(times, axis=0).repeat(times, axis=1)
    title = np.zeros((LINE, enlarged.shape[1], 3), np.uint8)
    _write(title, "saliency", 0, LINE - 5)
    return np.concatenate([title, enlarged])


def _side_by_side(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    height = max(left.shape[0], right.shape[0])
    padded = [_padded(picture, height, picture.shape[1]) for picture in (left, right)]
    return np.concatenate(padded, axis=1)


def _stacked(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    width = max(upper.shape[1], lower.shape[1])
    padded = [_padded(picture, picture.shape[0], width) for picture in (upper, lower)]
    return np.concatenate(padded)


def _padded(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Returns a picture with black added below and to the right, up to a height and a width."""
    return np.pad(picture, ((0, height - picture.shape[0]), (0, width - picture.shape[1]), (0, 0)))


def _write(
    canvas: np.ndarray, text: str, left: int, base: int, colour: tuple[int, int, int] = WHITE
) -> None:
    """Draws a text on the canvas; its first letter begins at `left` and stands on row `base`."""
    font, size, thickness = cv2.FONT_HERSHEY_PLAIN, 1.1, 1
    cv2.putText(canvas, text, (left, base), font, size, colour, thickness, cv2.LINE_8)
