"""The page about runs: whole, valid, readable on a phone and without pictures."""

from __future__ import annotations

import os
import re
import shutil
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from plotting import dashboard
from reward_visualizer import main
from system.root import ROOT
from tests.helpers.logs import episode, write_log, write_run

if TYPE_CHECKING:
    from pathlib import Path

# What HTML closes by itself.
VOID = {"meta", "link", "img", "br", "input", "source"}


class Page(HTMLParser):
    """What a page holds; asserts that its tags are closed in order and its ids are unique."""

    def __init__(self, path: Path):
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(self.source)
        self.close()
        assert self._open == []
        ids = [attributes["id"] for _, attributes in self.tags if "id" in attributes]
        assert len(ids) == len(set(ids))
        for reference in re.findall(r'(?:url\(|href=")#([^")]+)', self.source):
            assert reference in ids

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag}: {names}"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "svg" in self._open, f"{tag} is closed as only parts of SVG are"
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "svg"} & set(self._open):
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def make_page(folder: Path, *arguments: str | Path) -> Page:
    path = folder / "page.html"
    assert main(["-f", *map(str, arguments), "--dashboard", str(path)]) == 0
    return Page(path)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of two runs of the same settings and one of another; one has videos."""
    folder = tmp_path_factory.mktemp("runs")
    scores = [float(n % 7) for n in range(120)]
    write_run(folder / "x" / "1", scores, [1.0, 5.0], seed=1)
    write_run(folder / "x" / "2", scores, [2.0, 3.0], seed=2)
    write_run(folder / "y", scores, n_step=7)
    games = folder / "x" / "1" / "videos"
    games.mkdir()
    for number, name in enumerate(["1.mp4", "2.gif", "3.mp4", "4.webm", "5.txt"]):
        path = games / f"Pong-v4_game_{name}"
        path.write_bytes(b"video %d" % number)
        os.utime(path, (number, number))
    return folder


@pytest.fixture(scope="module")
def page(runs: Path) -> Page:
    return make_page(runs, runs)


def test_page_is_whole_html(page: Page) -> None:
    assert page.source.startswith('<!DOCTYPE html>\n<html lang="en">\n')
    assert page.tags[0] == ("html", {"lang": "en"})
    for tag in ("title", "h1", "main", "body", "head"):
        assert len(page.all(tag)) == 1
    assert {"charset": "utf-8"} in page.all("meta")


def test_each_picture_is_svg_that_can_be_parsed(page: Page) -> None:
    pictures = re.findall("<svg.*?</svg>", page.source, re.DOTALL)
    assert len(pictures) == len(dashboard.CURVES)
    for picture in pictures:
        assert len(list(ET.fromstring(picture).iter("path"))) > 5


def test_page_asks_nothing_of_the_network_or_of_other_files(page: Page) -> None:
    assert not re.search(r"https?:|//[a-z]|@import|<script|@font-face", page.source)
    for _, attributes in page.tags:
        for name in ("src", "href", "srcset", "poster", "data"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
    assert not re.search(r"url\((?!#)", page.source)


def test_page_is_made_for_phones_and_for_light_and_dark(page: Page) -> None:
    viewport = {"name": "viewport", "content": "width=device-width, initial-scale=1"}
    assert viewport in page.all("meta")
    assert "@media (prefers-color-scheme: dark)" in page.source
    assert "color-scheme: light dark" in page.source
    # Pictures have no size of their own, and take the colour of the text.
    for svg in page.all("svg"):
        assert not {"width", "height"} & set(svg)
        assert "viewbox" in svg
    assert page.source.count("currentColor") > 50
    assert "#010203" not in page.source


def test_all_pictures_and_tables_say_what_they_are(page: Page) -> None:
    for svg in page.all("svg"):
        assert svg["role"] == "img"
        assert "Pong" in (svg["aria-label"] or "") or "--n-step" in (svg["aria-label"] or "")
    assert "score of a game" in (page.all("svg")[0]["aria-label"] or "")
    assert all(image["alt"] for image in page.all("img"))
    assert all(video["aria-label"] for video in page.all("video"))
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(head["scope"] in ("col", "row") for head in page.all("th"))


def test_page_tells_scores_evaluations_and_settings(page: Page) -> None:
    words = page.words
    assert "Pong-v4 3 runs, 360 episodes, 36,000 steps" in words
    assert "run x/1: last 100 games 3.0 67%" in words
    assert "run x/1: best evaluation (step 500) 5.0 73%" in words
    assert "run x/2: best evaluation (step 500) 3.0 67%" in words
    assert "random play (published) -20.7 0%" in words
    assert "human (published) 14.6 100%" in words
    assert "DQN of 2015 (published) 18.9 112%" in words
    assert "run x/2: 2 evaluations" in words
    assert "250 2.0 2.0 0.0 2 2 3" in words
    assert "--n-step 5 (2 runs)" in words
    assert "--n-step 7 steps" in words or "--n-step 7" in words
    assert "--memory 1,000,000 transitions" in words


def test_newest_videos_are_in_the_page(page: Page) -> None:
    assert [video["src"] for video in page.all("video")] == [
        "data:video/webm;base64,dmlkZW8gMw==",
        "data:video/mp4;base64,dmlkZW8gMg==",
    ]
    assert [image["src"] for image in page.all("img")] == ["data:image/gif;base64,dmlkZW8gMQ=="]


def test_large_videos_are_named_and_not_taken_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = write_log(tmp_path / "Pong-v4_log.txt", [episode(0)])
    (tmp_path / "any").mkdir()
    (tmp_path / "any" / "large.mp4").write_bytes(b"12345")
    monkeypatch.setattr(dashboard, "MOST_VIDEO_BYTES", 4)
    page = make_page(tmp_path, log, "--videos", tmp_path / "any")
    assert page.all("video") == []
    assert "large.mp4 (0.0 MiB)" in page.words


def test_page_of_an_older_log_shows_what_it_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = make_page(tmp_path, write_log(tmp_path / "Q-v0_log.txt", [episode(0), episode(1)]))
    assert len(page.all("svg")) == 3
    told = "Q-v0: 2 episodes, 200 steps, 0 evaluations; no checkpoint beside the log tells the"
    assert f"{told} settings." in page.words
    assert "Evaluations" not in page.words
    assert capsys.readouterr().err == ""


def test_page_without_a_checkpoint_tells_what_the_log_does(tmp_path: Path) -> None:
    log = write_run(tmp_path, [1.0] * 40, [3.0, 4.0])
    shutil.rmtree(tmp_path / "Pong-v4_checkpoint")
    page = make_page(tmp_path, log)
    assert "Pong-v4: 40 episodes, 4,000 steps, 0.1 hours, 2 evaluations; no ch" in page.words


def test_names_of_files_are_no_html(tmp_path: Path) -> None:
    name = "<b>&amp;\"'$x$"
    log = write_log(tmp_path / name / f"{name}_log.txt", [episode(0, 1.0)])
    other = write_log(tmp_path / "b" / f"{name}_log.txt", [episode(0, 1.0)])
    page = make_page(tmp_path, log, other)
    assert page.all("b") == []
    assert name in page.words


def test_page_of_the_real_run_tells_the_scores_of_the_readme(tmp_path: Path) -> None:
    page = make_page(tmp_path, ROOT / "res" / "pong" / "Pong-v4_log.txt")
    assert "Pong-v4: last 100 games 5.1" in page.words
    assert "1,197,328 steps, 1.7 hours" in page.words
    # Beside the log lies a video of its agent.
    video = ROOT / "res" / "pong" / "Pong-v4_game_1.gif"
    assert len(page.source) < 500_000 + 4 / 3 * video.stat().st_size
