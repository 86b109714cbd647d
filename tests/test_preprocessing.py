"""What the Atari environments promise."""

from collections.abc import Iterator

import ale_py
import cv2
import numpy as np
import pytest
from ale_py import roms

from games import find_game
from preprocessing import AtariEnvironments, FrameStack, Step


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
        ("Breakout-v0", 2, 250, {"life_loss": "terminal"}),
        ("Breakout-v4", 2, 150, {"screen": "crop", "life_loss": "penalty", "no_op_limit": 1}),
        ("Pong-v4", 1, 300, {"frame_skip": 16}),
        ("ALE/Seaquest-v5", 2, 120, {"screen": "crop", "frame_skip": 16, "life_loss": "penalty"}),
        ("MsPacman-v0", 1, 60, {"frame_skip": 1}),
        ("MsPacman-v4", 1, 60, {"frame_skip": 2}),
        ("Backgammon-v4", 2, 60, {"frame_skip": 1}),
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


@pytest.mark.parametrize("screen", ["resize", "crop"])
@pytest.mark.parametrize(
    ("environment_id", "frame_skip"), [("Breakout-v4", 4), ("BreakoutNoFrameskip-v4", 3)]
)
def test_frames_are_those_of_the_bare_emulator_skipped_once(
    environment_id: str, frame_skip: int, screen: str
) -> None:
    environments = make(environment_id, 3, frame_skip=frame_skip, screen=screen)
    first = environments.reset()[0]
    actions = np.random.default_rng(1).integers(4, size=(40, 1))
    frames = [first, *(step.frames[0] for step in steps(environments, actions))]
    environments.close()

    bare = ale_py.ALEInterface()
    bare.setFloat("repeat_action_probability", 0.0)
    bare.loadROM(roms.get_rom_path("breakout"))
    buttons = bare.getMinimalActionSet()

    def picture(screens: list[np.ndarray]) -> np.ndarray:
        height = 110 if screen == "crop" else 84
        image = cv2.resize(np.max(screens, 0), (84, height), interpolation=cv2.INTER_AREA)
        return image[26:110] if screen == "crop" else image

    def game_after(waiting: int) -> Iterator[np.ndarray]:
        bare.reset_game()
        bare.act(buttons[1])  # FIRE
        for _ in range(waiting):
            bare.act(buttons[0])
        yield picture([bare.getScreenGrayscale()])
        for (action,) in actions:
            screens = []
            for _ in range(frame_skip):
                bare.act(buttons[action])
                screens.append(bare.getScreenGrayscale())
            yield picture(screens[-2:])

    # Up to 30 no-ops come before the first frame; how many, only the seed knows.
    matches = [
        all(np.array_equal(*pair) for pair in zip(frames, game_after(waiting), strict=True))
        for waiting in range(31)
    ]
    assert sum(matches) == 1


@pytest.mark.parametrize(
    ("environment_id", "frame_skip"),
    [("Pong-v0", 4), ("PongDeterministic-v4", 4), ("PongNoFrameskip-v4", 3), ("ALE/Pong-v5", 5)],
)
def test_emulator_advances_by_the_frame_skip_and_no_more(
    environment_id: str, frame_skip: int
) -> None:
    fast = make(environment_id, frame_skip=frame_skip)
    shown = make(environment_id, frame_skip=frame_skip, shown=True)

    def frame_numbers() -> tuple[int, int]:
        emulators = fast._emulators._envs  # a reset of none of the games tells where they are
        _, info = emulators.reset(seed=np.zeros(0, int), options={"reset_mask": np.zeros(1, bool)})
        return int(info["frame_number"][0]), shown._emulators._envs[0].ale.getFrameNumber()

    fast.reset()
    shown.reset()
    before = frame_numbers()
    play(fast, 20)
    play(shown, 20)
    assert frame_numbers() == (before[0] + 20 * frame_skip, before[1] + 20 * frame_skip)
    fast.close()
    shown.close()


def test_frames_are_84_by_84_bytes_for_each_environment() -> None:
    environments = make("Pong-v0", count=3)
    first = environments.reset()
    step = environments.step(np.zeros(3, int))
    for frames in (first, step.frames):
        assert frames.shape == (3, 84, 84)
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
        environments = make("Breakout-v0", seed, count=4)
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


def test_lost_life_is_nothing_unless_asked_for(plain_game: Step) -> None:
    assert plain_game.terminals.tolist() == plain_game.ends.tolist()
    assert plain_game.ends.tolist() == [False] * (len(plain_game.ends) - 1) + [True]
    assert plain_game.rewards.min() == 0


def test_a_lost_life_does_not_restart_the_game(plain_game: Step) -> None:
    game = breakout_game(life_loss="terminal")
    np.testing.assert_array_equal(game.frames, plain_game.frames)
    np.testing.assert_array_equal(game.rewards, plain_game.rewards)
    np.testing.assert_array_equal(game.ends, plain_game.ends)
    assert game.terminals.sum() == 5  # the lives of Breakout
    assert game.terminals[-1]


def test_lost_life_costs_a_reward_of_one_where_it_is_penalised(plain_game: Step) -> None:
    lost = breakout_game(life_loss="terminal").terminals
    game = breakout_game(life_loss="penalty")
    np.testing.assert_array_equal(game.rewards, plain_game.rewards - lost)
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
    # The second episode of the same generator, reached by a reset.
    expected = make("Breakout-v4", 7, **settings)
    expected.reset()
    np.testing.assert_array_equal(step.frames, expected.reset())
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
    game = Step(*map(np.concatenate, zip(*steps(environments, repeat(0, 1_801)), strict=True)))
    assert np.flatnonzero(game.ends).tolist() == [108_000 // 60 - 1]
    assert not game.terminals.any()
    environments.close()


# ---------------------------------------------------------------- stacks


def flat(value: int) -> np.ndarray:
    return np.full((84, 84), value, np.uint8)


def stack_values(stack: FrameStack) -> list[list[int]]:
    return stack.states[:, 5, 7].tolist()


def test_state_is_black_before_its_episode_and_has_the_newest_frame_last() -> None:
    stack = FrameStack(1, 4)
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
    stack = FrameStack(2, 3)
    for value, starts in ((1, [True, True]), (2, [False, False]), (3, [True, False])):
        stack.push(np.stack([flat(value), flat(value + 10)]), np.array(starts))
    assert stack_values(stack) == [[0, 0, 3], [11, 12, 13]]
    assert stack.states.shape == (2, 84, 84, 3)
    assert stack.states.dtype == np.uint8


def test_state_of_one_frame_is_the_newest() -> None:
    stack = FrameStack(1, 1)
    for value in (1, 2):
        stack.push(flat(value)[None], np.array([False]))
    assert stack_values(stack) == [[2]]


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
