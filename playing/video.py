"""Video files, MP4 (H.264) and GIF, which are written picture by picture."""

from __future__ import annotations

import io
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import numpy as np
import zstandard

from storage.files import replacing
from system.errors import OneLineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from types import ModuleType

GIF_CLOCK = Fraction(1, 100)  # seconds, the unit of time in a GIF
# Units that a picture lasts. Many programs show shorter pictures for ten times as long.
GIF_SHORTEST = 2
GIF_COLOURS = 255  # and one more for a pixel that does not change
# Where there are more: with fewer colours fewer pixels change, and the file is half as large.
GIF_ROUNDED_COLOURS = 32
GIF_WINDOW = 22  # binary logarithm of the bytes that are looked back at as pictures are compressed


class VideoError(OneLineError):
    """Says in one line why a video cannot be written."""


class VideoWriter(Protocol):
    """Takes the pictures of a video."""

    def add(self, picture: np.ndarray) -> None:
        """Adds a picture, [height, width, 3] uint8 RGB. All pictures have the same size."""


@contextmanager
def mp4_writer(path: Path, pictures_per_second: Fraction) -> Iterator[VideoWriter]:
    """Writes an MP4 file. It appears, whole, when the context ends without an exception.

    Args:
        path: the file to write or to replace.
        pictures_per_second: speed of the video.

    Raises:
        OSError: the file cannot be written.
        VideoError: PyAV or its encoder is missing or fails, or no picture was given.
    """
    with (
        replacing(path, suffix=".mp4") as new,
        new.open("wb") as file,
        _encoding(_Mp4, file, pictures_per_second) as writer,
    ):
        yield writer


@contextmanager
def gif_writer(path: Path, pictures_per_second: Fraction) -> Iterator[VideoWriter]:
    """Writes an animated GIF. It appears, whole, when the context ends without an exception.

    Where the pictures have more than 255 colours, these are rounded to at most 32. A picture of a
    GIF lasts at least 1/50 s, so a faster video loses some of its pictures.

    Args:
        path: the file to write or to replace.
        pictures_per_second: speed of the video.

    Raises:
        OSError: the file cannot be written.
        VideoError: PyAV or its encoder is missing or fails, or no picture was given.
    """
    with (
        replacing(path, suffix=".gif") as new,
        new.open("wb") as file,
        _encoding(_Gif, file, pictures_per_second) as writer,
    ):
        yield writer


def gif_of(pictures: Iterable[np.ndarray], pictures_per_second: Fraction) -> bytes:
    """Returns an animated GIF, as the bytes of a file; see `gif_writer`.

    Args:
        pictures: [height, width, 3] uint8 RGB each, at least one.
        pictures_per_second: speed of the video.

    Raises:
        VideoError: PyAV or its encoder is missing or fails, or no picture was given.
    """
    file = io.BytesIO()
    with _encoding(_Gif, file, pictures_per_second) as writer:
        for picture in pictures:
            writer.add(picture)
    return file.getvalue()


@contextmanager
def _encoding(
    kind: type[_Mp4] | type[_Gif], file: BinaryIO, pictures_per_second: Fraction
) -> Iterator[VideoWriter]:
    """Encodes pictures into a file, and turns PyAV's errors into OSError or VideoError.

    Args:
        kind: the encoder.
        file: open, as PyAV takes what stands before a colon in a path for a protocol.
        pictures_per_second: speed of the video.
    """
    av = _pyav()
    try:
        av.codec.Codec(kind.ENCODER, "w")
        with av.open(file, "w", format=kind.FORMAT) as container:
            writer = kind(container, pictures_per_second)
            yield writer
            writer.finish()
    except av.codec.codec.UnknownCodecError as error:
        raise VideoError(
            f"no {kind.FORMAT.upper()} can be written, as this PyAV has no encoder {kind.ENCODER}: "
            "install that of PyPI, pip install --force-reinstall av"
        ) from error
    except av.error.FFmpegError as error:
        if isinstance(error, OSError):
            # PyAV's own OSError does not take a file name.
            raise OSError(error.errno, error.strerror) from error
        raise VideoError(f"cannot write the {kind.FORMAT.upper()} video: {error}") from error


def _pyav() -> ModuleType:
    """Returns PyAV, which is loaded only when a video is written."""
    try:
        import av
    except ImportError as error:
        raise VideoError(
            f"no video can be written without PyAV ({error}): pip install -r requirements.txt"
        ) from error
    # PyAV raises its errors as well, so they need not be printed.
    av.logging.set_level(None)
    return av


class _Mp4:
    """Encodes each picture as it comes."""

    FORMAT, ENCODER = "mp4", "libx264"

    def __init__(self, container: Any, pictures_per_second: Fraction):
        self._container, self._rate = container, pictures_per_second
        self._stream: Any = None

    def add(self, picture: np.ndarray) -> None:
        """Encodes a picture."""
        # H.264 halves the resolution of colours, so both sides have to be even.
        height, width = (-(-side // 2) * 2 for side in picture.shape[:2])
        if self._stream is None:
            self._stream = self._container.add_stream("libx264", rate=self._rate)
            self._stream.width, self._stream.height = width, height
            self._stream.pix_fmt = "yuv420p"
            self._stream.options = {"crf": "18", "preset": "medium"}
        missing = (0, height - picture.shape[0]), (0, width - picture.shape[1]), (0, 0)
        frame = _pyav().VideoFrame.from_ndarray(np.pad(picture, missing, "edge"), "rgb24")
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Writes what the encoder still holds."""
        if self._stream is None:
            raise VideoError("a video needs at least one picture")
        self._container.mux(self._stream.encode())


class _Gif:
    """Keeps all pictures, compressed as one stream, until all of their colours are known."""

    FORMAT = ENCODER = "gif"

    def __init__(self, container: Any, pictures_per_second: Fraction):
        self._container, self._rate = container, pictures_per_second
        self._last = np.empty((0, 0, 3), np.uint8)  # the picture that was kept last
        self._is_used = np.zeros(2**24, bool)  # whether a picture has the colour 0xRRGGBB
        self._times: list[int] = []  # when each appears, in 1/100 s
        self._added = 0
        self._packed = io.BytesIO()
        # The window holds the picture before, of which most is still there.
        parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=GIF_WINDOW)
        packer = zstandard.ZstdCompressor(compression_params=parameters)
        self._packer = packer.stream_writer(self._packed, closefd=False)

    def add(self, picture: np.ndarray) -> None:
        """Keeps a picture, unless the picture before would be too short."""
        time = round(self._added / self._rate / GIF_CLOCK)
        self._added += 1
        if self._times and time - self._times[-1] < GIF_SHORTEST:
            return
        self._last = picture
        self._is_used[_colours(picture)] = True
        self._packer.write(np.ascontiguousarray(picture).data)
        self._times.append(time)

    def finish(self) -> None:
        """Encodes all pictures."""
        if not self._times:
            raise VideoError("a video needs at least one picture")
        av = _pyav()
        palette, index_of = _palette(np.flatnonzero(self._is_used), _colours(self._last))
        stream = self._container.add_stream("gif", rate=round(1 / GIF_CLOCK))
        stream.height, stream.width, _ = self._last.shape
        stream.pix_fmt = "pal8"
        for picture, time in zip(self._pictures(), self._times, strict=True):
            frame = av.VideoFrame.from_ndarray((index_of[_colours(picture)], palette), "pal8")
            frame.pts, frame.time_base = time, GIF_CLOCK
            self._container.mux(stream.encode(frame))
        self._container.mux(stream.encode())

    def _pictures(self) -> Iterator[np.ndarray]:
        """Yields the pictures that were kept."""
        self._packer.flush(zstandard.FLUSH_FRAME)
        self._packed.seek(0)
        with zstandard.ZstdDecompressor().stream_reader(self._packed) as unpacked:
            for _ in self._times:
                content = unpacked.read(self._last.nbytes)
                yield np.frombuffer(content, np.uint8).reshape(self._last.shape)


def _colours(picture: np.ndarray) -> np.ndarray:
    """Returns the colour 0xRRGGBB of each pixel, [height, width] uint32."""
    red, green, blue = (picture[..., channel].astype(np.uint32) for channel in range(3))
    return red << 16 | green << 8 | blue


def _palette(colours: np.ndarray, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns a palette, and the palette's index of each colour.

    Where there are more than 255 colours, their channels are rounded to fewer bits, so that at most
    32 are left.

    Args:
        colours: [N] int, 0xRRGGBB each, in order.
        picture: [height, width] int, some of these colours: one of the pictures.

    Returns:
        The palette, [256, 4] uint8: alpha, red, green and blue, the last entry transparent; and the
        indices, [2**24] uint8.
    """
    most = GIF_COLOURS if len(colours) <= GIF_COLOURS else GIF_ROUNDED_COLOURS
    for bits in range(8, 0, -1):
        kept = 0xFF >> (8 - bits) << (8 - bits)
        cells, cell_of = np.unique(colours & (kept << 16 | kept << 8 | kept), return_inverse=True)
        if len(cells) <= most:
            break
    # The palette has the mean of the colours in each cell, and areas of one colour keep theirs.
    weights = np.ones(len(colours))
    in_picture, pixels = np.unique(picture, return_counts=True)
    weights[np.searchsorted(colours, in_picture)] += pixels
    totals = np.bincount(cell_of, weights)
    palette = np.zeros((256, 4), np.uint8)
    palette[: len(cells), 0] = 255
    for channel, shift in enumerate((16, 8, 0), start=1):
        sums = np.bincount(cell_of, weights * (colours >> shift & 0xFF))
        palette[: len(cells), channel] = np.round(sums / totals)
    index_of = np.zeros(2**24, np.uint8)
    index_of[colours] = cell_of
    return palette, index_of
