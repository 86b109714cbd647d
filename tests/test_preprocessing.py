"""What the Atari environments promise."""

from collections.abc import Iterator
from functools import cache

import ale_py
import cv2
import numpy as np
import pytest
from ale_py import roms

from atari.emulators import SAME_SEED
from atari.games import find_game
from preprocessing import (
    SEED_STEPS,
    AtariEnvironments,
    FrameStack,
    Step,
    clipped,
    make_environments,
    state_shape,
)
from settings.config import Config
from storage.state import State


def make(
    environment_id: str, seed: int = 0, count: int = 1, **settings: object
) -> AtariEnvironments:
    rng = np.random.default_rng(seed)
    return AtariEnvironments(find_game(environment_id), count, rng, **settings)


def steps(environments: AtariEnvironments, actions: np.ndarray) -> Iterator[Step]:
    """Takes a step for each row of `actions`, [steps, n]."""
    for row in actions:
        yield environments.step(row)


def play(environments: AtariEnvironments, count: int, seed: int = 0) -> Step:
    """Plays at random; returns the steps, each field stacked to [count, n, …]."""
    rng = np.random.default_rng(seed)
    actions = rng.integers(environments.num_actions, size=(count, environments.count))
    return Step(*map(np.stack, zip(*steps(environments, actions), strict=True)))


def repeat(action: int, count: int) -> np.ndarray:
    return np.full((count, 1), action)


# ---------------------------------------------------------------- the two emulators


@pytest.mark.parametrize(
    ("environment_id", "count", "num_steps", "settings"),
    [
        # Past the first seeds.
        ("Breakout-v0", 1, 1_200, {"life_loss": "terminal"}),
        ("Breakout-v4", 2, 150, {"screen": "crop", "life_loss": "penalty", "no_op_limit": 1}),
        ("Pong-v4", 1, 300, {"frame_skip": 16}),
        ("ALE/Seaquest-v5", 2, 120, {"screen": "crop", "frame_skip": 16, "life_loss": "penalty"}),
        ("MsPacman-v0", 1, 60, {"frame_skip": 1}),
        ("MsPacman-v4", 1, 60, {"frame_skip": 2}),
        ("Backgammon-v4", 2, 60, {"frame_skip": 1}),
        ("Asteroids-v0", 1, 150, {"frame_max": False, "frame_skip": 16}),
        ("Phoenix-v4", 2, 40, {"screen": "square", "frame_skip": 2}),
        ("Breakout-v0", 2, 250, {"raw": True, "no_op_limit": 2}),
        ("Breakout-v0", 1, 90, {"raw": True, "frame_skip": 16, "screen": "square"}),
        (
            "ALE/Seaquest-v5",
            2,
            120,
            {
                "screen": "square",
                "frame_max": False,
                "frame_skip": 16,
                "reward_clip": "none",
                "life_loss": "penalty",
                "life_penalty": 100.0,
            },
        ),
    ],
    ids=str,
)
def test_both_emulators_play_bit_identical_games(
    environment_id: str, count: int, num_steps: int, settings: dict[str, object]
) -> None:
    fast = make(environment_id, 5, count, **settings)
    shown = make(environment_id, 5, count, shown=True, **settings)
    assert fast.num_actions == shown.num_actions
    np.testing.assert_array_equal(fast.reset(), shown.reset())
    fast_steps, shown_steps = play(fast, num_steps), play(shown, num_steps)
    for name, of_fast, of_shown in zip(Step._fields, fast_steps, shown_steps, strict=True):
        assert of_fast.dtype == of_shown.dtype
        np.testing.assert_array_equal(of_fast, of_shown, err_msg=name)
    if settings.get("frame_skip", 4) > 2:
        assert fast_steps.ends.any()  # or nothing is said of how an episode begins
    fast.close()
    shown.close()


def test_shown_picture_is_the_screen_of_the_game_in_colour() -> None:
    shown = make("Breakout-v4", shown=True)
    shown.reset()
    picture = shown.picture()
    assert picture.shape == (210, 160, 3)
    assert picture.dtype == np.uint8
    assert (picture[..., 0] != picture[..., 2]).any()
    shown.close()


# ---------------------------------------------------------------- frames


@pytest.mark.parametrize("screen", ["resize", "crop", "square"])
@pytest.mark.parametrize(
    ("environment_id", "frame_skip", "kept"),
    [
        ("Breakout-v4", 4, {}),
        ("BreakoutNoFrameskip-v4", 3, {"frame_max": False}),
        ("BreakoutDeterministic-v4", 3, {"raw": True}),
    ],
)
def test_frames_are_those_of_the_bare_emulator_skipped_once(
    environment_id: str, frame_skip: int, kept: dict[str, bool], screen: str
) -> None:
    environments = make(environment_id, 3, frame_skip=frame_skip, screen=screen, **kept)
    first = environments.reset()[0]
    actions = np.random.default_rng(1).integers(4, size=(40, 1))
    frames = [first, *(step.frames[0] for step in steps(environments, actions))]
    environments.close()

    bare = ale_py.ALEInterface()
    bare.setFloat("repeat_action_probability", 0.0)
    bare.loadROM(roms.get_rom_path("breakout"))
    buttons = bare.getMinimalActionSet()

    def look() -> np.ndarray:
        return bare.getScreenRGB() if screen == "square" else bare.getScreenGrayscale()

    def picture(screens: list[np.ndarray]) -> np.ndarray:
        joined = np.max(screens, 0)
        if screen == "square":
            return joined[25:185].astype(int).sum(-1) // 3
        height = 110 if screen == "crop" else 84
        image = cv2.resize(joined, (84, height), interpolation=cv2.INTER_AREA)
        return image[26:110] if screen == "crop" else image

    def planes(screens: list[np.ndarray]) -> np.ndarray:
        if "raw" in kept:
            return np.stack([picture([one]) for one in screens], axis=-1)
        return picture(screens[-1:] if "frame_max" in kept else screens[-2:])[..., None]

    def game_after(waiting: int) -> Iterator[np.ndarray]:
        bare.reset_game()
        bare.act(buttons[1])  # FIRE
        for _ in range(waiting):
            bare.act(buttons[0])
        yield planes([look()] * frame_skip)
        for (action,) in actions:
            screens = []
            for _ in range(frame_skip):
                bare.act(buttons[action])
                screens.append(look())
            yield planes(screens)

    # Up to 30 no-ops come before the first frame; how many, only the seed knows.
    matches = [
        all(np.array_equal(*pair) for pair in zip(frames, game_after(waiting), strict=True))
        for waiting in range(31)
    ]
    assert sum(matches) == 1


@pytest.mark.parametrize(
    ("environment_id", "frame_skip", "raw"),
    [
        ("Pong-v0", 4, False),
        ("PongDeterministic-v4", 4, True),
        ("PongNoFrameskip-v4", 3, False),
        ("ALE/Pong-v5", 5, True),
    ],
)
def test_emulator_advances_by_the_frame_skip_and_no_more(
    environment_id: str, frame_skip: int, raw: bool
) -> None:
    fast = make(environment_id, frame_skip=frame_skip, raw=raw)
    shown = make(environment_id, frame_skip=frame_skip, raw=raw, shown=True)

    def frame_numbers() -> tuple[int, int]:
        emulators = fast._emulators._envs  # a reset of none of the games tells where they are
        _, info = emulators.reset(seed=np.zeros(0, int), options={"reset_mask": np.zeros(1, bool)})
        of_shown = shown._emulators._envs[0].unwrapped.ale.getFrameNumber()
        return int(info["frame_number"][0]), of_shown

    fast.reset()
    shown.reset()
    before = frame_numbers()
    play(fast, 20)
    play(shown, 20)
    assert frame_numbers() == (before[0] + 20 * frame_skip, before[1] + 20 * frame_skip)
    fast.close()
    shown.close()


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        ({}, (84, 84, 1)),
        ({"screen": "crop", "raw": True, "frame_skip": 3}, (84, 84, 3)),
        ({"screen": "square"}, (160, 160, 1)),
    ],
    ids=str,
)
def test_frames_are_bytes_of_the_shape_that_is_told(
    settings: dict[str, object], shape: tuple[int, int, int]
) -> None:
    environments = make("Pong-v0", count=3, **settings)
    assert environments.frame_shape == shape
    first = environments.reset()
    step = environments.step(np.zeros(3, int))
    for frames in (first, step.frames):
        assert frames.shape == (3, *shape)
        assert frames.dtype == np.uint8
    assert [field.dtype for field in step[1:]] == [np.float32, np.float32, bool, bool]
    assert all(field.shape == (3,) for field in step[1:])
    environments.close()


def test_steps_already_given_are_not_written_over() -> None:
    environments = make("Breakout-v4", shown=True)
    for each in (environments, make("Breakout-v4")):
        kept = [each.reset()]
        copies = [kept[0].copy()]
        for step in steps(each, np.ones((5, 1), int)):
            kept.append(step.frames)
            copies.append(step.frames.copy())
        np.testing.assert_array_equal(kept, copies)
        each.close()


# ---------------------------------------------------------------- randomness


def test_same_seed_plays_the_same_games_and_another_seed_others() -> None:
    games = []
    for seed in (1, 1, 2):
        environments = make("Breakout-v0", seed, count=2)
        games.append((environments.reset(), play(environments, 60)))
        environments.close()
    (start_1, game_1), (start_2, game_2), (start_3, game_3) = games
    np.testing.assert_array_equal(start_1, start_2)
    for one, other in zip(game_1, game_2, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(start_1, start_3)
    assert not np.array_equal(game_1.frames, game_3.frames)


def test_environments_of_a_batch_start_differently_and_so_do_episodes() -> None:
    environments = make("Breakout-v4", count=4)
    starts = [environments.reset() for _ in range(3)]
    assert len({frame.tobytes() for start in starts for frame in start}) > 6
    environments.close()


def test_a_seed_lasts_for_its_steps_and_then_to_the_end_of_the_episode() -> None:
    environments = make("Breakout-v4", count=2)
    environments.reset()
    seeds, age, episodes = [], np.zeros(2, int), np.zeros(2, int)
    actions = np.random.default_rng(0).integers(4, size=(2_600, 2))
    for step in steps(environments, actions):
        age += 1
        episodes += step.ends
        renewed = step.ends & (age >= SEED_STEPS)
        age[renewed] = episodes[renewed] = 0
        histories = [environments.history(index) for index in range(2)]
        assert [len(each.actions) for each in histories] == age.tolist()
        assert [each.starts.sum() for each in histories] == episodes.tolist()
        seeds += [each.seed for each in histories]
    environments.close()
    assert len(set(seeds)) == 2 * 3


# ---------------------------------------------------------------- rewards and lost lives


def test_rewards_are_clipped_to_their_sign_and_points_are_not() -> None:
    for environment_id, allowed in (("SpaceInvaders-v4", {0, 1}), ("Pong-v4", {-1, 0})):
        environments = make(environment_id)
        environments.reset()
        game = play(environments, 200)
        environments.close()
        assert set(game.rewards.ravel()) == allowed
        np.testing.assert_array_equal(game.rewards, np.sign(game.points))
        if environment_id == "SpaceInvaders-v4":
            assert game.points.max() >= 10


@pytest.mark.parametrize(
    ("how", "bounds"), [("none", (-np.inf, np.inf)), ("7.5", (-7.5, 7.5)), ("20", (-20, 20))]
)
def test_rewards_are_points_clipped_as_far_as_asked_for(
    how: str, bounds: tuple[float, float]
) -> None:
    environments = make("SpaceInvaders-v4", reward_clip=how)
    environments.reset()
    game = play(environments, 200)
    environments.close()
    assert len(set(game.points.ravel()) - {0}) > 2
    np.testing.assert_array_equal(game.rewards, game.points.clip(*bounds))
    assert game.rewards.dtype == np.float32


def test_negative_points_are_clipped_as_well() -> None:
    points = np.array([-30, -1, 0, 2, 30], np.float32)
    assert clipped(points, "2").tolist() == [-2, -1, 0, 2, 2]
    assert clipped(points, "0.5").tolist() == [-0.5, -0.5, 0, 0.5, 0.5]
    assert clipped(points, "sign").tolist() == [-1, -1, 0, 1, 1]
    assert clipped(points, "none").tolist() == points.tolist()
    clipped(points, "none")[:] = 0
    assert points.any()  # rewards are not the points themselves


def breakout_game(**settings: object) -> Step:
    """Returns one whole game of Breakout in which FIRE alone is pressed."""
    environments = make("Breakout-v4", 4, **settings)
    environments.reset()
    taken = []
    for step in steps(environments, repeat(1, 1_000)):
        taken.append(step)
        if step.ends[0]:
            break
    environments.close()
    return Step(*map(np.concatenate, zip(*taken, strict=True)))


@pytest.fixture(scope="module")
def plain_game() -> Step:
    return breakout_game()


@pytest.fixture(scope="module")
def game_of_terminals() -> Step:
    return breakout_game(life_loss="terminal")


def test_lost_life_is_nothing_unless_asked_for(plain_game: Step) -> None:
    assert plain_game.terminals.tolist() == plain_game.ends.tolist()
    assert plain_game.ends.tolist() == [False] * (len(plain_game.ends) - 1) + [True]
    assert plain_game.rewards.min() == 0


def test_a_lost_life_does_not_restart_the_game(plain_game: Step, game_of_terminals: Step) -> None:
    game = game_of_terminals
    np.testing.assert_array_equal(game.frames, plain_game.frames)
    np.testing.assert_array_equal(game.rewards, plain_game.rewards)
    np.testing.assert_array_equal(game.ends, plain_game.ends)
    assert game.terminals.sum() == 5  # the lives of Breakout
    assert game.terminals[-1]


@pytest.mark.parametrize("penalty", [None, 0.0, 2.5, 100.0])
def test_lost_life_costs_what_it_should_where_it_is_penalised(
    plain_game: Step, game_of_terminals: Step, penalty: float | None
) -> None:
    lost = game_of_terminals.terminals
    given = {} if penalty is None else {"life_penalty": penalty}
    game = breakout_game(life_loss="penalty", **given)
    cost = 1.0 if penalty is None else penalty
    np.testing.assert_array_equal(game.rewards, plain_game.rewards - cost * lost)
    assert game.rewards.dtype == np.float32
    np.testing.assert_array_equal(game.points, plain_game.points)
    np.testing.assert_array_equal(game.terminals, plain_game.terminals)
    np.testing.assert_array_equal(game.ends, plain_game.ends)


# ---------------------------------------------------------------- no-ops


def no_op_game(actions: np.ndarray, **settings: object) -> Step:
    environments = make("Breakout-v4", 4, **settings)
    environments.reset()
    taken = Step(*map(np.concatenate, zip(*steps(environments, actions), strict=True)))
    environments.close()
    return taken


def test_one_no_op_too_many_costs_one_and_ends_the_episode_again_and_again() -> None:
    game = no_op_game(repeat(0, 12), no_op_limit=3)
    stalled = [False, False, False, True] * 3
    assert game.ends.tolist() == stalled
    assert game.terminals.tolist() == stalled
    assert game.rewards.tolist() == [-1.0 if each else 0.0 for each in stalled]
    assert not game.points.any()


def test_no_ops_are_not_counted_once_an_action_came() -> None:
    actions = np.concatenate([repeat(0, 3), repeat(2, 1), repeat(0, 10)])
    game = no_op_game(actions, no_op_limit=3)
    assert not game.ends.any()
    assert not game.rewards.any()


def test_no_ops_are_counted_again_after_a_lost_life() -> None:
    actions = np.concatenate([repeat(2, 1), repeat(0, 150)])
    unlimited = no_op_game(actions, life_loss="terminal")
    lost = int(np.flatnonzero(unlimited.terminals)[0])
    game = no_op_game(actions[: lost + 6], no_op_limit=5, life_loss="none")
    assert not game.ends.any()
    game = no_op_game(actions[: lost + 7], no_op_limit=5, life_loss="none")
    assert np.flatnonzero(game.ends).tolist() == [lost + 6]
    assert game.terminals[-1]
    assert game.rewards[-1] == -1


def test_limit_of_zero_allows_any_number_of_no_ops() -> None:
    assert not no_op_game(repeat(0, 100), no_op_limit=0).ends.any()


def test_no_ops_are_counted_for_each_environment_alone() -> None:
    environments = make("Breakout-v4", count=3, no_op_limit=2)
    environments.reset()
    rows = np.array([[0, 2, 0], [0, 0, 0], [0, 0, 2], [0, 0, 0], [0, 0, 0], [0, 0, 0]])
    ends = [step.ends.tolist() for step in steps(environments, rows)]
    assert np.argwhere(ends).tolist() == [[2, 0], [5, 0]]
    environments.close()


# ---------------------------------------------------------------- ends of episodes


@pytest.mark.parametrize("settings", [{"frame_skip": 30}, {"no_op_limit": 6}], ids=str)
def test_frames_at_an_end_begin_the_next_episode_and_no_step_is_lost(
    settings: dict[str, object],
) -> None:
    environments = make("Breakout-v4", 7, **settings)
    action = 0 if "no_op_limit" in settings else 1
    environments.reset()
    for step in steps(environments, repeat(action, 500)):
        if step.ends[0]:
            break
    assert step.ends[0]
    # The second game of the same seed, without a step taken in the first.
    expected = make("Breakout-v4", 7, **settings)
    expected.reset()
    second = expected._emulators.reset(np.array([SAME_SEED]), np.ones(1, bool))
    np.testing.assert_array_equal(step.frames, second.frames)
    one, other = play(environments, 20, seed=3), play(expected, 20, seed=3)
    assert len({frame.tobytes() for frame in one.frames}) > 5
    for got, wanted in zip(one, other, strict=True):
        np.testing.assert_array_equal(got, wanted)
    environments.close()
    expected.close()


def test_an_end_of_one_environment_leaves_the_others_alone() -> None:
    # Only the first environment stalls, so the second plays as if it were never ended.
    together = make("Breakout-v4", 8, count=2, no_op_limit=2)
    alone = make("Breakout-v4", 8, count=2)
    np.testing.assert_array_equal(together.reset(), alone.reset())
    rows = np.random.default_rng(2).integers(1, 4, size=(30, 2))
    rows[:, 0] = 0
    ended = 0
    for one, other in zip(steps(together, rows), steps(alone, rows), strict=True):
        ended += one.ends[0]
        for got, wanted in zip(one, other, strict=True):
            np.testing.assert_array_equal(got[1], wanted[1])
    assert ended == 10
    together.close()
    alone.close()


def test_time_limit_ends_an_episode_without_a_terminal() -> None:
    # Without FIRE Breakout waits for ever once its first ball is lost.
    environments = make("Breakout-v4", 6, frame_skip=60)
    environments.reset()
    attributes, arrays = environments.get_state()
    played = 108_000 // 60 - 3  # steps, of half an hour
    environments.set_state(State(attributes, {**arrays, "lengths": np.array([played])}))
    game = Step(*map(np.concatenate, zip(*steps(environments, repeat(0, 5)), strict=True)))
    assert np.flatnonzero(game.ends).tolist() == [2]
    assert not game.terminals.any()
    environments.close()


# ---------------------------------------------------------------- stacks


def flat(*values: int) -> np.ndarray:
    """Returns an environment's frames of one step, [84, 84, p], each of one value."""
    return np.full((84, 84, len(values)), values, np.uint8)


def stack_values(stack: FrameStack) -> list[list[int]]:
    return stack.states[:, 5, 7].tolist()


def test_state_is_black_before_its_episode_and_has_the_newest_frame_last() -> None:
    stack = FrameStack(1, (84, 84, 1), 4)
    seen = []
    for value, starts in ((1, True), (2, False), (3, False), (4, False), (5, False), (6, True)):
        stack.push(flat(value)[None], np.array([starts]))
        seen += stack_values(stack)
    assert seen == [
        [0, 0, 0, 1],
        [0, 0, 1, 2],
        [0, 1, 2, 3],
        [1, 2, 3, 4],
        [2, 3, 4, 5],
        [0, 0, 0, 6],
    ]


def test_state_never_crosses_the_start_of_an_episode_in_one_environment_of_several() -> None:
    stack = FrameStack(2, (84, 84, 1), 3)
    for value, starts in ((1, [True, True]), (2, [False, False]), (3, [True, False])):
        stack.push(np.stack([flat(value), flat(value + 10)]), np.array(starts))
    assert stack_values(stack) == [[0, 0, 3], [11, 12, 13]]
    assert stack.states.shape == (2, 84, 84, 3)
    assert stack.states.dtype == np.uint8


def test_state_of_one_frame_is_the_newest() -> None:
    stack = FrameStack(1, (84, 84, 1), 1)
    for value in (1, 2):
        stack.push(flat(value)[None], np.array([False]))
    assert stack_values(stack) == [[2]]


def test_state_takes_all_frames_of_a_step_that_brings_several() -> None:
    whole, part = FrameStack(1, (84, 84, 3), 3), FrameStack(1, (84, 84, 3), 4)
    seen = []
    for values, starts in (((1, 2, 3), True), ((4, 5, 6), False), ((7, 8, 9), True)):
        for stack in (whole, part):
            stack.push(flat(*values)[None], np.array([starts]))
            seen += stack_values(stack)
            np.testing.assert_array_equal(stack.newest[0], flat(*values))
    assert seen == [[1, 2, 3], [0, 1, 2, 3], [4, 5, 6], [3, 4, 5, 6], [7, 8, 9], [0, 7, 8, 9]]


def test_a_game_that_counts_no_no_op_among_its_actions_is_never_stalled() -> None:
    """In Backgammon action 0 is FIRE."""
    environments = AtariEnvironments(
        find_game("Backgammon-v4"), 1, np.random.default_rng(0), no_op_limit=2
    )
    environments.reset()
    steps = [environments.step(np.array([0])) for _ in range(6)]
    environments.close()
    assert not any(step.ends.any() for step in steps)
    assert not any(step.rewards.any() for step in steps)


# ---------------------------------------------------------------- as the settings say


def play_a_while(environments: AtariEnvironments) -> Step:
    """Plays at random, but with so many no-ops that some rounds begin with two."""
    rng = np.random.default_rng(0)
    actions = rng.choice(4, size=(120, environments.count), p=(0.4, 0.2, 0.2, 0.2))
    return Step(*map(np.stack, zip(*steps(environments, actions), strict=True)))


@cache
def play_as_set(for_scores: bool = False, **settings: object) -> Step:
    """Plays with these settings, from one seed; what has been played is not played again."""
    config = Config(**{"environment": "Breakout-v0", "no_op_limit": 0, **settings})
    environments = make_environments(
        config, 2, np.random.default_rng(5), shown=False, for_scores=for_scores
    )
    first = environments.reset()
    shape = state_shape(config.screen, config.frame_stack_size)
    assert first.shape == (2, *shape[:2], config.frames_per_step)
    game = play_a_while(environments)
    environments.close()
    return game


@pytest.mark.parametrize(
    ("settings", "equal"),
    [
        ({"frame_skip": 7}, {"frame_skip": 7}),
        ({"screen": "square"}, {"screen": "square"}),
        ({"frame_max": False, "environment": "Asteroids-v0"}, {"frame_max": False}),
        ({"state_frames": "raw"}, {"raw": True}),
        ({"reward_clip": "7", "environment": "SpaceInvaders-v0"}, {"reward_clip": "7"}),
        (
            {"life_loss": "penalty", "life_penalty": 3.0},
            {"life_loss": "penalty", "life_penalty": 3},
        ),
        ({"life_loss": "terminal"}, {"life_loss": "terminal"}),
        ({"no_op_limit": 1, "life_loss": "none"}, {"no_op_limit": 1}),
    ],
    ids=str,
)
def test_settings_reach_the_environments(
    settings: dict[str, object], equal: dict[str, object]
) -> None:
    plainly = {"life_loss": "none", "environment": settings.get("environment", "Breakout-v0")}
    settings = {**plainly, **settings}
    environments = make(str(settings["environment"]), 5, count=2, **equal)
    environments.reset()
    expected, plain = play_a_while(environments), play_as_set(**plainly)
    environments.close()
    for got, wanted in zip(play_as_set(**settings), expected, strict=True):
        np.testing.assert_array_equal(got, wanted)
    # Or the setting would say nothing.
    assert not all(np.array_equal(*pair) for pair in zip(expected, plain, strict=True))


def test_sticky_actions_are_as_the_id_says_unless_they_are_set() -> None:
    as_v0, as_v4 = play_as_set().frames, play_as_set(environment="Breakout-v4").frames
    assert not np.array_equal(as_v0, as_v4)
    set_on = play_as_set(environment="Breakout-v4", sticky_actions=0.25)
    np.testing.assert_array_equal(set_on.frames, as_v0)
    np.testing.assert_array_equal(play_as_set(sticky_actions=0.0).frames, as_v4)
    assert not np.array_equal(play_as_set(sticky_actions=0.9).frames, as_v0)


def test_games_for_scores_are_whole() -> None:
    changed = {"life_loss": "terminal", "no_op_limit": 1}
    whole = play_as_set(for_scores=True, **changed)
    for got, wanted in zip(whole, play_as_set(life_loss="none"), strict=True):
        np.testing.assert_array_equal(got, wanted)
    assert not np.array_equal(whole.ends, play_as_set(**changed).ends)


def test_full_action_space_is_that_of_the_console_on_both_emulators() -> None:
    for environment_id, minimal in (("Pong-v4", 6), ("Backgammon-v4", 3)):
        game = find_game(environment_id)
        assert make(environment_id).num_actions == minimal
        for shown in (False, True):
            environments = AtariEnvironments(
                game._replace(full_action_space=True), 1, np.random.default_rng(0), shown=shown
            )
            assert environments._emulators.actions == list(ale_py.Action.__members__)[:18]
            environments.close()
    config = Config(full_action_space=True)
    environments = make_environments(config, 1, np.random.default_rng(0), shown=False)
    assert environments.num_actions == 18
    environments.close()


@pytest.mark.parametrize("environment_id", ["Backgammon-v4", "MsPacman-v4", "Breakout-v4"])
def test_games_with_all_actions_are_the_same_on_both_emulators(environment_id: str) -> None:
    """Also where FIRE is no action of the game's own: then it starts the game all the same."""
    game = find_game(environment_id)._replace(full_action_space=True)
    played = []
    for shown in (False, True):
        environments = AtariEnvironments(game, 1, np.random.default_rng(3), shown=shown)
        first = environments.reset()
        played.append((first, *play(environments, 60)))
        environments.close()
    for of_fast, of_shown in zip(*played, strict=True):
        np.testing.assert_array_equal(of_fast, of_shown)


def test_no_ops_are_found_by_name_among_all_actions() -> None:
    """Backgammon has none of its own, the console has."""
    game = find_game("Backgammon-v4")._replace(full_action_space=True)
    environments = AtariEnvironments(game, 1, np.random.default_rng(0), no_op_limit=2)
    environments.reset()
    ends = [bool(step.ends[0]) for step in steps(environments, repeat(0, 6))]
    environments.close()
    assert ends == [False, False, True] * 2
