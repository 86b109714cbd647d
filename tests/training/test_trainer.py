"""The training loop on real games: what it remembers, learns, logs and saves."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from agent import Agent, Updates, make_agent
from preprocessing import make_environments, state_shape
from replay.batch import Batch
from settings.config import Config, ConfigError
from storage import weights as weights_file
from storage.episode_log import Episode, LogError, read_log
from system.memory import mebibytes
from tests.helpers.default_networks import default_network
from tests.helpers.memories import a_memory
from tests.helpers.outcomes import assert_same
from training.prefetching import Prefetcher, updates_in_a_call
from training.restoring import state_of
from training.run import assemble, train
from training.trainer import Trainer

if TYPE_CHECKING:
    from replay_memory import ReplayMemory

SMALL = {
    "environment": "Breakout-v0",
    "envs": 2,
    "memory_size": 4_000,
    "batch_size": 8,
    "whitening": False,
    "pretrain_transitions": 200,
    "steps": 1_200,
    "train_every": 40,
    "explore_steps": 600,
    "random_action_steps": 1,
    "seed": 3,
    "progress": False,
}


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gives the folder of a short run, made once."""
    out = tmp_path_factory.mktemp("run")
    assert train(Config(**SMALL, out=str(out))) == 0
    return out


def test_log_tells_each_episode(small_run: Path) -> None:
    episodes = read_log(small_run / "Breakout-v0_log.txt").episodes
    assert [e.number for e in episodes] == list(range(len(episodes)))
    assert len(episodes) >= 4
    assert all(e.steps % 2 == 0 and e.frames == 4 * e.steps for e in episodes)
    # Every step belongs to one episode: those of one environment follow one another.
    assert sum(e.length or 0 for e in episodes) <= 1_200
    assert all(0 <= e.accuracy <= 1 and e.loss >= 0 for e in episodes)
    # A brick gives 1, 4 or 7 points, and a reward of 1; too many no-ops at the end cost 1.
    assert all(-1 <= e.reward <= (e.score or 0) for e in episodes)
    assert any(e.score for e in episodes)


def test_epsilon_moves_in_a_run(small_run: Path) -> None:
    for episode in read_log(small_run / "Breakout-v0_log.txt").episodes:
        assert episode.epsilon == pytest.approx(max(0.01, 1 - 0.99 * (episode.steps - 2) / 600))


def test_same_seed_and_flags_write_the_same(small_run: Path, tmp_path: Path) -> None:
    train(Config(**SMALL, out=str(tmp_path)))
    assert_same(tmp_path, small_run)


class Recorder(Agent):
    """A real agent that notes when it learns and when it copies, and what it acts with."""

    def note(self) -> None:
        self.updates: list[int] = []
        self.copies: list[int] = []
        self.epsilons: list[float] = []
        self.rates: list[float] = []
        self.batches: list[Batch] = []
        self.calls_made: list[Updates] = []
        self.acts = 0

    def act(self, states: np.ndarray, epsilon: float, *args: Any, **options: Any) -> np.ndarray:
        self.acts += 1
        self.epsilons.append(epsilon)
        return super().act(states, epsilon, *args, **options)

    def learn(self, batches: Batch) -> Updates:
        self.rates.append(float(self.optimizer.learning_rate.numpy()))
        made = super().learn(batches)
        self.calls_made.append(made)
        size = len(batches.indices) // len(made)
        for first in range(0, len(batches.indices), size):
            self.updates.append(self.acts)
            # Its arrays are filled anew for the call after next.
            of_one = batches.rows(first, first + size)
            self.batches.append(Batch(*(array.copy() for array in of_one.arrays.values())))
        return made

    def copy_to_target(self) -> None:
        self.copies.append(self.acts)
        super().copy_to_target()


def parts(config: Config) -> tuple[Trainer, Recorder, ReplayMemory]:
    """Returns the parts of a run, put together as `train` does."""
    environments = make_environments(
        config, config.envs, np.random.default_rng(0), shown=False, for_scores=True
    )
    states = state_shape(config.screen, config.frame_stack_size)
    agent = make_agent(config, states, environments.num_actions, np.random.default_rng(1))
    agent.__class__ = Recorder
    agent.note()
    memory = a_memory(
        config.memory_size, config.envs, states[:2], states[2], config.n_step, config.discount,
        frames_per_step=config.frames_per_step, priority_exponent=config.priority_exponent,
    )  # fmt: skip
    batches = Prefetcher(
        memory, config.batch_size, np.random.default_rng(2), updates_in_a_call(config)
    )
    trainer = Trainer(config, environments, agent, batches)
    return trainer, agent, memory


def run_with(**changes: object) -> tuple:
    config = Config(**{**SMALL, **changes})
    trainer, agent, memory = parts(config)
    gathered = list(trainer.pretrain())
    pretrain_acts = agent.acts
    episodes = [episode for finished in trainer.train() for episode in finished]
    trainer.close()
    return gathered, pretrain_acts, episodes, agent, memory, trainer


def test_updates_and_copies_keep_to_the_step_count() -> None:
    *_, agent, _, trainer = run_with(
        steps=200, train_every=5, target_update_period=50, pretrain_transitions=200
    )
    assert trainer.step == 200
    # 2 steps an act; 100 acts of pretraining; so multiples of 5 steps are passed at these acts.
    assert agent.updates == [100 + -(-5 * k // 2) for k in range(1, 41)]
    assert agent.copies == [100 + 25 * k for k in range(1, 5)]


def test_by_priority_one_call_makes_the_updates_of_a_turn_and_all_of_them_count() -> None:
    *_, agent, memory, _ = run_with(
        steps=2, train_every=1, updates=2, priority_exponent=0.5, pretrain_transitions=200
    )
    [updates] = agent.calls_made
    assert len(updates) == 4
    # Of what is drawn twice, the later TD error counts.
    newest = {
        index: td_error
        for batch, update in zip(agent.batches, updates, strict=True)
        for index, td_error in zip(batch.indices, update.td_errors, strict=True)
    }
    expected = (np.array([*newest.values()], np.float64) + 1e-6) ** 0.5
    np.testing.assert_allclose(memory.masses(np.array([*newest])), expected, rtol=1e-12)


def test_the_learning_rate_falls_by_steps_to_its_factor_and_stays() -> None:
    *_, agent, _, _ = run_with(
        steps=400, learning_rate=4e-4, learning_rate_factor=0.25, learning_rate_steps=200
    )
    # An update every 40 steps, made while the step is taken at which it is due.
    expected = [4e-4 * (1 - 0.75 * min(1, step / 200)) for step in range(40, 401, 40)]
    assert agent.rates == pytest.approx(expected, rel=1e-6)


def test_each_time_has_as_many_updates_as_asked() -> None:
    *_, agent, _, _ = run_with(steps=40, train_every=20, updates=3, pretrain_transitions=200)
    assert agent.updates == [110] * 3 + [120] * 3


def test_updates_copies_and_epsilon_can_be_counted_by_games() -> None:
    # The second no-op ends an episode here, so that there are enough of them.
    *_, episodes, agent, _, trainer = run_with(
        count_by="games",
        train_every=2,
        updates=3,
        target_update_period=4,
        explore_steps=5,
        epsilon_end=0.5,
        games=8,
        pretrain_transitions=200,
        no_op_limit=1,
        steps=20_000,
    )
    assert 8 <= trainer.episodes.number == len(episodes) < 10
    assert trainer.step < 20_000
    assert len(agent.updates) == 3 * (len(episodes) // 2)
    assert len(agent.copies) == len(episodes) // 4
    # Epsilon is that of the games before.
    possible = {round(max(0.5, 1 - 0.1 * games), 6) for games in range(len(episodes))}
    assert {round(episode.epsilon, 6) for episode in episodes} <= possible
    assert episodes[0].epsilon == 1
    assert episodes[-1].epsilon == pytest.approx(0.5)


def test_phase_is_exploring_while_epsilon_falls() -> None:
    config = Config(**SMALL)
    trainer, *_ = parts(config)
    phases = {}
    for _ in trainer.train():
        phases[trainer.step] = trainer.phase
    trainer.close()
    assert {phase for step, phase in phases.items() if step < 600} == {"exploring"}
    assert {phase for step, phase in phases.items() if step >= 600} == {"training"}


def test_a_line_for_each_episode_tells_the_phase(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Config(**{**SMALL, "episode_lines": True, "progress": True, "out": str(tmp_path)})
    train(config)
    output = capsys.readouterr().out
    assert "observing at random: " in output
    pattern = r"(\w+): episode (\S+), score (\S+), memory (\S+), epsilon (\S+), step (\S+)\n"
    lines = re.findall(pattern, output)
    episodes = read_log(tmp_path / "Breakout-v0_log.txt").episodes
    assert [int(line[1]) for line in lines] == [each.number for each in episodes]
    assert [float(line[2]) for line in lines] == [each.score for each in episodes]
    assert [int(line[5].replace(",", "")) for line in lines] == [each.steps for each in episodes]
    assert {line[0] for line in lines} == {"exploring", "training"}


def test_noise_takes_epsilons_place() -> None:
    trainer = assemble(Config(**{**SMALL, "noisy": True, "steps": 40}))
    epsilons = {trainer.epsilon for _ in trainer.train()}
    trainer.close()
    assert epsilons == {0.0}


def test_several_updates_follow_one_step_where_train_every_is_small() -> None:
    *_, agent, _, _ = run_with(steps=40, train_every=1, pretrain_transitions=200)
    assert len(agent.updates) == 40
    assert set(agent.updates) == set(range(101, 121))


def test_no_update_before_the_memory_holds_a_batch() -> None:
    *_, agent, _, _ = run_with(steps=40, train_every=2, pretrain_transitions=0, batch_size=32)
    # Made while the seventeenth step is taken, after sixteen of two environments.
    assert min(agent.updates) == 17


@pytest.mark.parametrize("pretrain", [0, 4])
def test_learning_waits_until_there_is_something_to_draw(pretrain: int) -> None:
    *_, agent, _, trainer = run_with(
        batch_size=4, pretrain_transitions=pretrain, steps=16, train_every=2
    )
    assert trainer.step == 16
    assert agent.updates


@pytest.mark.parametrize("pretrain", [100, 104, 10_000])
def test_pretraining_ends_at_its_number_or_when_the_memory_is_full(pretrain: int) -> None:
    gathered, acts, _, agent, memory, _ = run_with(
        pretrain_transitions=pretrain, memory_size=104, steps=4
    )
    assert gathered[-1] == memory.capacity if pretrain >= 104 else 100
    assert acts * 2 == gathered[-1]
    assert not [act for act in agent.updates if act <= acts]


@pytest.mark.parametrize(("continued", "epsilon"), [(None, 1.0), ("weights.h5", 0.0)])
def test_pretraining_is_random_or_with_continue_greedy(
    continued: str | None, epsilon: float
) -> None:
    _, acts, _, agent, _, _ = run_with(continue_from=continued, steps=4)
    assert acts == 100
    assert set(agent.epsilons[:acts]) == {epsilon}


@pytest.mark.parametrize(
    "changes", [{}, {"state_frames": "raw"}, {"screen": "square", "frame_skip": 2}], ids=str
)
def test_what_is_learnt_from_is_what_was_seen(changes: dict) -> None:
    """Every state of a batch is one that the agent acted on."""
    config = Config(
        **{
            **SMALL,
            "batch_size": 32,
            "steps": 400,
            "n_step": 1,
            "pretrain_transitions": 100,
            **changes,
        }
    )
    trainer, agent, _ = parts(config)
    seen = set()

    def watch() -> None:
        seen.update(state.tobytes() for state in trainer.stack.states)

    for stage in (trainer.pretrain(), trainer.train()):
        for _ in stage:
            watch()
    states = [s for b in agent.batches for s in b.s_tm1]
    assert len(states) > 200
    assert sum(state.tobytes() in seen for state in states) / len(states) > 0.95
    followed = [s for b in agent.batches for s, d in zip(b.s_t, b.discount_t, strict=True) if d]
    assert all(state.tobytes() in seen for state in followed)


def test_going_on_counts_from_the_log_and_keeps_it(small_run: Path, tmp_path: Path) -> None:
    shutil.copytree(small_run, tmp_path, dirs_exist_ok=True)
    log, weights = tmp_path / "Breakout-v0_log.txt", tmp_path / "Breakout-v0_weights.h5"
    before = log.read_text()
    last = read_log(log).episodes[-1]
    config = Config(
        **{**SMALL, "steps": 2_000, "epsilon_start": 1.0, "epsilon_end": 0.9},
        continue_from=str(weights),
        out=str(tmp_path),
    )
    assert train(config) == 0
    assert log.read_text().startswith(before)
    added = read_log(log).episodes[last.number + 1 :]
    assert added[0].number == last.number + 1
    assert added[0].steps > last.steps
    assert (added[0].seconds or 0) > (last.seconds or 0)
    # The decay of 600 steps is over and stays so.
    assert {episode.epsilon for episode in added} == {0.9}
    # Without the checkpoint, which is the command line's to find, it is another run's.
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "Breakout-v0_checkpoint",
        "Breakout-v0_checkpoint.1",
        log.name,
        weights.name,
    ]


@pytest.mark.parametrize("layout", ["channels-last", "channels-first"])
def test_weights_to_go_on_from_are_read_in_the_layout_given(tmp_path: Path, layout: str) -> None:
    path, expected = tmp_path / "some.weights.h5", default_network(4, 1, whitening=False)
    default_network(4, 0, whitening=False).save_weights(path)
    weights_file.load(path, expected, channels_first=layout == "channels-first")
    config = Config(**SMALL, continue_from=str(path), weights_layout=layout)
    trainer = assemble(config)
    trainer.close()
    for ours, theirs in zip(
        trainer.agent.online.get_weights(), expected.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_a_new_schedule_starts_where_the_run_goes_on(small_run: Path, tmp_path: Path) -> None:
    weights = small_run / "Breakout-v0_weights.h5"
    before = (small_run / "Breakout-v0_log.txt").read_bytes()
    last = read_log(small_run / "Breakout-v0_log.txt").episodes[-1]
    config = Config(
        **{
            **SMALL,
            "steps": 2_000,
            "epsilon_start": 0.1,
            "epsilon_end": 0.0,
            "explore_steps": 100_000,
        },
        continue_from=str(weights),
        out=str(tmp_path),
    )
    train(config, frozenset({"start", "end", "explore_steps"}))
    for episode in read_log(tmp_path / "Breakout-v0_log.txt").episodes:
        assert episode.epsilon == pytest.approx(0.1 - (episode.steps - 2 - last.steps) / 10**6)
    assert (small_run / "Breakout-v0_log.txt").read_bytes() == before


def test_a_run_that_is_done_is_not_run_again(small_run: Path, tmp_path: Path) -> None:
    config = Config(
        **{**SMALL, "steps": 100, "out": str(tmp_path)},
        continue_from=str(small_run / "Breakout-v0_weights.h5"),
    )
    with pytest.raises(ConfigError, match="give more --steps"):
        train(config)
    assert not list(tmp_path.iterdir())


def test_files_of_an_earlier_run_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "Breakout-v0_log.txt").write_text("an old log\n")
    (tmp_path / "Breakout-v0_weights.h5").write_text("old weights")
    for _ in range(2):
        train(Config(**{**SMALL, "steps": 8, "out": str(tmp_path)}))
    assert (tmp_path / "Breakout-v0_log.1.txt").read_text() == "an old log\n"
    assert (tmp_path / "Breakout-v0_weights.1.h5").read_text() == "old weights"
    assert (tmp_path / "Breakout-v0_weights.2.h5").exists()
    assert "renamed to" in capsys.readouterr().out


def test_an_unreadable_log_beside_the_weights_stops_before_anything_is_written(
    small_run: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "Breakout-v0_weights.h5"
    weights.write_bytes((small_run / weights.name).read_bytes())
    (tmp_path / "Breakout-v0_log.txt").write_bytes(b"\x00\x01\x02" * 100)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(LogError):
        train(Config(**{**SMALL, "continue_from": str(weights), "out": str(tmp_path)}))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_weights_are_written_every_so_many_episodes(tmp_path: Path) -> None:
    config = Config(**{**SMALL, "save_every": 2, "out": str(tmp_path)})
    episodes_then: list[int] = []

    def watch(event: str, arguments: tuple) -> None:
        if event == "os.rename" and Path(arguments[1]) == config.weights_path:
            episodes_then.append(len(read_log(config.log_path).episodes))

    sys.addaudithook(watch)  # for good, but other tests write elsewhere
    train(config)
    episodes = read_log(config.log_path).episodes
    due = {e.steps for e in episodes if e.number % 2 == 1}
    assert episodes_then[:-1] == [sum(e.steps <= step for e in episodes) for step in sorted(due)]
    assert episodes_then[-1] == len(episodes)


def test_settings_device_and_bytes_are_shown_first(
    small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    train(Config(**{**SMALL, "steps": 4, "out": str(tmp_path)}))
    shown = capsys.readouterr().out
    assert "Breakout-v0" in shown
    assert "seed                 3" in shown
    assert "tensorflow, device" in shown
    memory = a_memory(4_000, 2, (84, 84), 4, 3, 0.99)
    sizes = f"{mebibytes(memory.nbytes)} now, at most {mebibytes(memory.max_nbytes)}"
    assert f"replay memory: 4,000 transitions, {sizes}\n" in shown


@pytest.mark.parametrize(
    ("environment", "changes"),
    [
        ("Pong-v4", {"network": "nature"}),
        ("ALE/MsPacman-v5", {"double": False, "envs": 1, "full_action_space": True}),
        # As the original script, and as one that penalises dying.
        ("Pong-v0", {"state_frames": "raw", "screen": "crop", "life_loss": "penalty"}),
        (
            "Venture-v0",
            {
                "screen": "square", "frame_max": False, "frame_skip": 2, "reward_clip": "none",
                "life_loss": "penalty", "life_penalty": 100.0, "sticky_actions": 0.0,
            },
        ),
    ],
)  # fmt: skip
def test_other_games_and_settings_train(tmp_path: Path, environment: str, changes: dict) -> None:
    config = Config(
        **{**SMALL, "environment": environment, "steps": 200, "out": str(tmp_path), **changes}
    )
    assert train(config) == 0
    assert config.weights_path.exists()
    assert config.log_path.parent == tmp_path


def test_episode_sums_start_anew_after_each_episode() -> None:
    *_, episodes, _, _, _ = run_with()
    assert isinstance(episodes[0], Episode)
    # Random Breakout gives a few points a game; sums over several games would grow.
    assert max(episode.score for episode in episodes) < 20


def test_a_loss_that_is_not_finite_ends_the_run() -> None:
    trainer = assemble(
        Config(**{**SMALL, "steps": 400, "pretrain_transitions": 100, "epsilon_end": 1.0})
    )
    list(trainer.pretrain())
    online = trainer.agent.online
    online.set_weights([np.full_like(w, np.nan) for w in online.get_weights()])
    with pytest.raises(FloatingPointError, match=r"the loss is nan, the mean Q value nan"):
        list(trainer.train())
    trainer.close()


@pytest.mark.parametrize(("epsilon", "step"), [(1.0, 160), (0.0, 142)])
def test_the_step_of_a_loss_that_is_not_finite_is_told(epsilon: float, step: int) -> None:
    trainer = assemble(
        Config(
            **{
                **SMALL,
                "steps": 400,
                "pretrain_transitions": 100,
                "epsilon_start": epsilon,
                "epsilon_end": epsilon,
            }
        )
    )
    list(trainer.pretrain())
    with pytest.raises(FloatingPointError, match="the loss is nan" if epsilon else "the values of"):
        for _ in trainer.train():
            if trainer.step == 140:  # the next update is due at step 160
                online = trainer.agent.online
                online.set_weights([np.full_like(w, np.nan) for w in online.get_weights()])
    assert trainer.step == step
    trainer.close()


def test_what_an_update_did_to_the_values_is_told_by_its_loss() -> None:
    settings = {"steps": 400, "pretrain_transitions": 100, "epsilon_start": 0.0, "epsilon_end": 0.0}
    trainer = assemble(Config(**{**SMALL, **settings}))
    list(trainer.pretrain())
    target = trainer.agent.learner.target
    target.set_weights([np.full_like(w, np.nan) for w in target.get_weights()])
    with pytest.raises(FloatingPointError, match="the loss is nan"):
        list(trainer.train())
    assert trainer.step == 40  # where the first update was due
    trainer.close()


def test_a_network_that_has_diverged_is_never_written(tmp_path: Path, small_run: Path) -> None:
    shutil.copytree(small_run, tmp_path, dirs_exist_ok=True)
    path, network = tmp_path / "other.weights.h5", default_network(4, 0, whitening=False)
    network.set_weights([np.full_like(w, np.inf) for w in network.get_weights()])
    network.save_weights(path)
    before = (tmp_path / "Breakout-v0_weights.h5").read_bytes()
    config = Config(**SMALL, continue_from=str(path), out=str(tmp_path))
    step = read_log(tmp_path / "Breakout-v0_log.txt").episodes[-1].steps
    with pytest.raises(
        FloatingPointError, match=rf"not finite at step {step:,}, .* smaller --learning-r"
    ):
        train(config)
    assert (tmp_path / "Breakout-v0_weights.1.h5").read_bytes() == before
    assert not (tmp_path / "Breakout-v0_weights.h5").exists()
    assert not (tmp_path / "Breakout-v0_checkpoint").exists()
    trainer = assemble(config)
    for write in (lambda: trainer.agent.save_weights(path), lambda: state_of(trainer)):
        with pytest.raises(FloatingPointError, match="weights that are not finite"):
            write()
    trainer.close()


def test_the_only_action_of_a_game_is_named_in_its_line(tmp_path: Path) -> None:
    network = default_network(4, 0, whitening=False)
    weights = [np.zeros_like(array) for array in network.get_weights()]
    weights[-1][0] = 1  # NOOP, whatever is seen
    network.set_weights(weights)
    network.save_weights(tmp_path / "other.weights.h5")
    config = Config(
        **{
            **SMALL,
            "epsilon_start": 0.0,
            "epsilon_end": 0.0,
            "train_every": 10**6,
            "pretrain_transitions": 0,
            "no_op_limit": 3,
            "steps": 64,
        },
        continue_from=str(tmp_path / "other.weights.h5"),
        out=str(tmp_path),
    )
    train(config)
    episodes = read_log(tmp_path / "Breakout-v0_log.txt").episodes
    assert {episode.only_action for episode in episodes} == {"NOOP"}


def test_games_of_many_actions_name_none(small_run: Path) -> None:
    episodes = read_log(small_run / "Breakout-v0_log.txt").episodes
    assert {episode.only_action for episode in episodes} == {None}
