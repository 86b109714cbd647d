"""A player is the agent of its weights, in environments of whole games."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from playing.players import load_player
from playing.watch import play
from settings.config import Config
from storage import weights as weights_file
from tests.helpers.default_networks import default_network

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

CONFIG = Config(environment="MsPacman-v4", seed=1, games_to_play=2, play=True)


def test_a_player_has_the_weights_and_plays_in_as_many_environments_as_asked_for(
    tmp_path: Path,
) -> None:
    network = default_network(9, 0)
    weights_file.save(tmp_path / "some.h5", network)
    with load_player(replace(CONFIG, continue_from=str(tmp_path / "some.h5")), 3) as player:
        assert player.weights == tmp_path / "some.h5"
        assert player.environments.count == 3
        assert not player.environments.shown
        for ours, theirs in zip(
            player.agent.online.get_weights(), network.get_weights(), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)


def test_random_play_needs_no_weights() -> None:
    config = Config(environment="MsPacman-v4", seed=1, evaluate=True, random_play=True)
    with load_player(config, 1) as player:
        assert player.weights is None


def test_weights_to_play_with_are_read_in_the_layout_given(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Weights said to be channels-first play as the same ones brought to channels-last."""
    first, last = tmp_path / "first.weights.h5", tmp_path / "last.h5"
    network = default_network(9, 0)
    network.save_weights(first)
    weights_file.load(first, network, channels_first=True)
    weights_file.save(last, network)

    def scores(weights: Path, layout: str) -> list[str]:
        config = replace(CONFIG, continue_from=str(weights), weights_layout=layout)
        assert play(config) == 0
        return capsys.readouterr().out.splitlines()[1:]

    played = scores(last, "channels-last")
    assert scores(first, "channels-first") == played
    assert scores(first, "channels-last") != played
