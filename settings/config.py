"""The settings of a run: each declared once, with its flags, help, unit, default and range."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from settings.declaration import ConfigError, check_range, setting
from settings.paths import RunPaths
from settings.registries import names_in

if TYPE_CHECKING:
    from collections.abc import Mapping

# The names of settings in files of earlier versions, and today.
FORMER_NAMES = {
    "batch": "batch_size",
    "end": "epsilon_end",
    "episodes": "games_to_play",
    "gamma": "discount",
    "gamma_start": "discount_start",
    "json": "json_output",
    "keep": "checkpoints_kept",
    "memory": "memory_size",
    "nothing": "no_op_limit",
    "pretrain": "pretrain_transitions",
    "random": "random_play",
    "record": "video_folder",
    "start": "epsilon_start",
    "update": "target_update_period",
}


def renamed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of a file by their names today."""
    return {FORMER_NAMES.get(name, name): value for name, value in settings.items()}


@dataclass(frozen=True)
class Config(RunPaths):
    """Every setting of a run. A step is one decision of the agent, a frame one of the emulator.

    Raises:
        ConfigError: a value is out of its range, or two do not go together.
    """

    environment: str = setting(
        "Pong-v0", "-env", "--environment", group="environment", metavar="ID",
        about="game and its rules, such as Breakout-v0, PongNoFrameskip-v4 or ALE/Pong-v5",
        fixed=True,
    )  # fmt: skip
    envs: int = setting(
        32, "--envs", group="environment", unit="environments", low=1, high=1024,
        metavar="N|auto",
        about="environments that step together; auto takes 32 on up to 16 cores, and 64 on "
        "more; with a GPU 8 for each core, from 32 to 128",
        fixed=True, auto=True,
    )  # fmt: skip
    frame_skip: int = setting(
        4, "--frame-skip", group="environment", unit="frames", low=1, high=60,
        about="emulator frames that each step repeats its action for",
        fixed=True,
    )  # fmt: skip
    frame_stack_size: int = setting(
        4, "-fss", "--framestacksize", group="environment", unit="frames", low=1, high=16,
        about="newest frames that make a state",
        fixed=True,
    )  # fmt: skip
    state_frames: str = setting(
        "skipped", "--state-frames", group="environment", choices=("skipped", "raw"),
        about="frames that make a state: one of each step, or all that the last step repeated its "
        "action for, each as it is (--framestacksize and --frame-skip then have to be equal)",
        fixed=True,
    )  # fmt: skip
    frame_max: bool = setting(
        True, "--frame-max", group="environment",
        about="make a step's frame the maximum of the emulator's last two, and not the last alone",
        fixed=True,
    )  # fmt: skip
    screen: str = setting(
        "resize", "--screen", group="environment", choices=("resize", "crop", "square"),
        about="how the screen becomes a frame: resize it whole to 84×84, or to 84×110 and crop "
        "rows 26 to 109, or keep the 160×160 pixels at its centre (grey is then the mean of the "
        "colours, rounded down)",
        fixed=True,
    )  # fmt: skip
    sticky_actions: float | None = setting(
        None, "--sticky-actions", group="environment", kind=float, low=0.0, high=0.99,
        metavar="P", unset="as the id says",
        about="probability that the emulator repeats the last action instead of the one it is "
        "given, at each frame (default: as the id says)",
        fixed=True,
    )  # fmt: skip
    full_action_space: bool = setting(
        False, "--full-action-space", group="environment",
        about="choose among all 18 actions of the console, not only those that the game needs",
        fixed=True,
    )  # fmt: skip
    reward_clip: str = setting(
        "sign", "--reward-clip", group="environment", metavar="sign|none|BOUND",
        about="what points are to the learner: their sign, themselves, or clipped to ±BOUND",
    )  # fmt: skip
    life_loss: str = setting(
        "terminal", "--life-loss", group="environment", choices=("none", "terminal", "penalty"),
        about="what a lost life is to the learner: nothing, an end of the return, or a penalty",
    )  # fmt: skip
    life_penalty: float = setting(
        1.0, "--life-penalty", group="environment", unit="of reward", low=0.0, high=1e6,
        about="what a lost life costs with --life-loss penalty",
    )  # fmt: skip
    no_op_limit: int = setting(
        0, "-n", "--nothing", group="environment", unit="steps", low=0, high=27_000,
        about="no-ops allowed at the start of an episode or life; one more costs -1 and ends the "
        "episode; 0 allows any number",
    )  # fmt: skip

    memory_size: int = setting(
        1_000_000, "-m", "--memory", group="memory", unit="transitions", low=1, high=10**9,
        about="size of the replay memory",
        fixed=True,
    )  # fmt: skip
    frame_codec: str = setting(
        "zstd", "--frame-codec", group="memory",
        choices=("none", *names_in("replay.packing.CODECS")),
        about="how the memory packs frames: not at all, or with lz4 or zstd (the smallest)",
        fixed=True,
    )  # fmt: skip
    memory_on_device: bool = setting(
        False, "--memory-on-device", group="memory", metavar="yes|no|auto",
        about="keep the memory's frames where the network computes, as on a GPU, so that states "
        "need not be sent there to learn from; they are not packed, whatever --frame-codec says; "
        "auto does so on a GPU that has room for them, and the flag alone says yes",
        fixed=True, auto=True,
    )  # fmt: skip
    pretrain_transitions: int = setting(
        10_000, "-pre", "--pretrain", group="memory", unit="transitions", low=0, high=10**9,
        about="gathered before training starts: at random, or with --continue by the loaded "
        "network; no more than the memory holds",
    )  # fmt: skip
    n_step: int = setting(
        5, "--n-step", group="memory", unit="steps", low=1, high=100,
        about="rewards summed before the target network's estimate; 1 is plain Q-learning",
    )  # fmt: skip
    n_step_start: int | None = setting(
        None, "--n-step-start", group="memory", kind=int, metavar="N", low=1, high=100,
        unset="as --n-step",
        about="the same at the first step, falling to --n-step over --horizon-steps "
        "(default: as --n-step)",
    )  # fmt: skip
    horizon_steps: int = setting(
        100_000, "--horizon-steps", group="memory", unit="steps", low=1, high=10**12,
        about="how long --n-step and --gamma take from their first to their final values",
    )  # fmt: skip
    newest_share: float = setting(
        0.25, "--newest-share", group="memory", low=0.0, high=1.0,
        about="share of all transitions so far, the newest ones, that batches are drawn from, but "
        "at least 50,000; 1 draws from all that the memory holds",
        fixed=True,
    )  # fmt: skip
    priority_exponent: float = setting(
        0.5, "--priority-exponent", group="memory", low=0.0, high=1.0,
        about="how much more often transitions with large TD errors are drawn; 0 draws all alike",
        fixed=True,
    )  # fmt: skip
    importance_exponent: float = setting(
        0.4, "--importance-exponent", group="memory", low=0.0, high=1.0,
        about="how far weights make up for drawing by priority at the first step; 1 is fully",
    )  # fmt: skip
    importance_end: float | None = setting(
        None, "--importance-end", group="memory", kind=float, metavar="N", low=0.0, high=1.0,
        unset="as --importance-exponent",
        about="the same at the last step; between the two it moves in a straight line "
        "(default: as --importance-exponent)",
    )  # fmt: skip

    steps: int = setting(
        5_000_000, "-st", "--steps", group="learning", unit="steps", low=1, high=10**12,
        about="length of the run, all environments and resumes counted, the pretraining not",
    )  # fmt: skip
    games: int = setting(
        0, "--games", group="learning", unit="games", low=0, high=10**9,
        about="games after which the run ends, if it has not by --steps; 0 for no limit",
    )  # fmt: skip
    batch_size: int = setting(
        32, "-b", "--batch", group="learning", unit="transitions", low=1, high=65_536,
        about="transitions in the batch of an update",
    )  # fmt: skip
    train_every: int = setting(
        8, "--train-every", group="learning", unit="steps", low=1, high=10**6,
        about="steps (or games, see --count-by) from one group of --updates to the next",
    )  # fmt: skip
    discount: float = setting(
        0.99, "-g", "--gamma", group="learning", unit="per step", low=0.0, high=1.0,
        about="discount of later rewards",
    )  # fmt: skip
    discount_start: float | None = setting(
        None, "--gamma-start", group="learning", kind=float, metavar="N", low=0.0, high=1.0,
        unset="as --gamma",
        about="the same at the first step, rising to --gamma over --horizon-steps "
        "(default: as --gamma)",
    )  # fmt: skip
    target_update_period: int = setting(
        2_000, "-u", "--update", group="learning", unit="steps", low=1, high=10**9,
        about="steps (or games, see --count-by) between copies of the online to the target network",
    )  # fmt: skip
    target_averaging: float = setting(
        0.0, "--target-averaging", group="learning", unit="per update", low=0.0, high=1.0,
        about="how far the target network moves to the online one; 0 copies it every --update",
    )  # fmt: skip
    updates: int = setting(
        1, "--updates", group="learning", unit="updates", low=1, high=10**6,
        about="updates made each time that --train-every says",
    )  # fmt: skip
    learning_rate: float = setting(
        4e-4, "--learning-rate", group="learning", unit="per update", low=1e-9, high=1.0,
        about="step size of the optimiser",
    )  # fmt: skip
    learning_rate_factor: float = setting(
        0.25, "--learning-rate-factor", group="learning", low=0.0, high=1.0,
        about="what --learning-rate is multiplied by at the end of --learning-rate-steps; it falls "
        "there in a straight line, and then stays; 1 keeps it",
    )  # fmt: skip
    learning_rate_steps: int = setting(
        1_000_000, "--learning-rate-steps", group="learning", unit="steps", low=1, high=10**12,
        about="how long --learning-rate takes to fall",
    )  # fmt: skip
    optimizer: str = setting(
        "adam", "--optimizer", group="learning",
        choices=names_in("learning.optimizers.OPTIMIZERS"),
        about="what turns gradients into updates: Adam, or RMSProp",
        fixed=True,
    )  # fmt: skip
    optimizer_epsilon: float = setting(
        1.5e-4, "--optimizer-epsilon", group="learning", low=1e-12, high=1.0,
        about="keeps both optimisers from dividing by too little; in RMSProp under the root",
    )  # fmt: skip
    adam_beta_1: float = setting(
        0.9, "--adam-beta-1", group="learning", unit="per update", low=0.0, high=0.9999,
        about="how much of Adam's mean of gradients is kept",
    )  # fmt: skip
    adam_beta_2: float = setting(
        0.999, "--adam-beta-2", group="learning", unit="per update", low=0.0, high=0.999999,
        about="how much of Adam's mean of squared gradients is kept",
    )  # fmt: skip
    rmsprop_decay: float = setting(
        0.95, "--rmsprop-decay", group="learning", unit="per update", low=0.0, high=0.999999,
        about="how much of RMSProp's mean of squared gradients is kept",
    )  # fmt: skip
    rmsprop_momentum: float = setting(
        0.0, "--rmsprop-momentum", group="learning", unit="per update", low=0.0, high=0.9999,
        about="how much of RMSProp's last step is taken again",
        fixed=True,
    )  # fmt: skip
    rmsprop_centered: bool = setting(
        False, "--rmsprop-centered", group="learning",
        about="RMSProp divides by the gradients' deviation, and not by their size",
        fixed=True,
    )  # fmt: skip
    gradient_clip: float = setting(
        10.0, "--gradient-clip", group="learning", low=0.0, high=1e9,
        about="norm of all gradients together that longer ones are shortened to; 0 for none",
    )  # fmt: skip
    loss: str = setting(
        "huber", "--loss", group="learning", choices=names_in("learning.targets.LOSSES"),
        about="loss of a TD error: square below 1 and linear above, square, or log(cosh)",
    )  # fmt: skip
    double: bool = setting(
        True, "--double", group="learning",
        about="Double DQN: the online network chooses the action that the target network rates",
    )  # fmt: skip
    munchausen: bool = setting(
        False, "--munchausen", group="learning",
        about="Munchausen DQN: rewards actions that the policy was sure of; needs --no-double",
    )  # fmt: skip
    value_rescaling: bool = setting(
        False, "--value-rescaling", group="learning",
        about="values grow with the root of the return, for rewards that are not clipped",
    )  # fmt: skip
    count_by: str = setting(
        "steps", "--count-by", group="learning", choices=("steps", "games"),
        about="what --train-every, --update and --exploresteps count",
        fixed=True,
    )  # fmt: skip
    seed: int | None = setting(
        None, "--seed", group="learning", kind=int, low=0, high=2**31 - 1, metavar="N",
        about="seed of all random numbers; the same seed, machine and flags give the same run "
        "(default: drawn and printed)",
        fixed=True,
    )  # fmt: skip

    network: str = setting(
        "nips", "--network", group="network",
        choices=names_in("learning.networks.NETWORKS"),
        about="the convolutional network of Mnih et al. 2013 (the fastest) or 2015, or that of "
        "Espeholt et al. 2018",
        fixed=True,
    )  # fmt: skip
    network_width: int = setting(
        1, "--network-width", group="network", low=1, high=64,
        about="factor on the filters of each convolution",
        fixed=True,
    )  # fmt: skip
    hidden_activation: str = setting(
        "relu", "--hidden-activation", group="network", choices=("relu", "linear"),
        about="of the dense layer before the values",
        fixed=True,
    )  # fmt: skip
    normalization: str = setting(
        "whole", "--normalization", group="network",
        choices=names_in("learning.normalizations.NORMALIZATIONS"),
        about="of the outputs of each layer, all together (whole) or at each place (layer), or of "
        "the kernels of convolutions (spectral); in the impala network of its residual blocks",
        fixed=True,
    )  # fmt: skip
    hidden_biases: bool = setting(
        False, "--hidden-biases", group="network",
        about="let the layers before the values have biases",
        fixed=True,
    )  # fmt: skip
    initializer: str = setting(
        "lecun", "--initializer", group="network",
        choices=names_in("learning.initializers.INITIALIZERS"),
        about="how large first weights are: as in Glorot and Bengio 2010, LeCun et al. 1998, or "
        "He et al. 2015",
        fixed=True,
    )  # fmt: skip
    value_scale: float = setting(
        0.1, "--value-scale", group="network", low=1e-6, high=1e3,
        about="factor on the first weights of the values, where these are not noisy",
        fixed=True,
    )  # fmt: skip
    input_scaling: bool = setting(
        True, "--input-scaling", group="network",
        about="scale the pixels from 0-255 to 0-1",
        fixed=True,
    )  # fmt: skip
    whitening: bool = setting(
        True, "--whitening", group="network",
        about="subtract from each pixel its mean and divide by its deviation, both as they are in "
        "memory before training, and once more when exploration ends, at step 50,000 at the latest",
        fixed=True,
    )  # fmt: skip
    precision: str = setting(
        "float32", "--precision", group="network", choices=("float32", "bfloat16"),
        about="what the layers compute in; bfloat16 is faster, and coarser, and needs a processor "
        "with avx512_bf16 or amx_bf16, or a GPU of compute capability 8.0; weights and values stay "
        "float32; auto takes it where the processor has it and there is no GPU",
        auto=True,
    )  # fmt: skip
    dueling: bool = setting(
        False, "--dueling", group="network",
        about="the state's value and the actions' advantages have layers of their own",
        fixed=True,
    )  # fmt: skip
    noisy: bool = setting(
        False, "--noisy", group="network",
        about="dense layers with learnt noise, which explores instead of epsilon",
        fixed=True,
    )  # fmt: skip
    distribution: str = setting(
        "none", "--distribution", group="network",
        choices=names_in("learning.distributions.DISTRIBUTIONS"),
        about="what is learnt of the return beside its mean: nothing, probabilities of fixed "
        "values (c51), or values of fixed (qr) or drawn (iqn) quantiles",
        fixed=True,
    )  # fmt: skip
    atoms: int = setting(
        51, "--atoms", group="network", low=2, high=1000,
        about="values of c51, or quantiles of qr",
        fixed=True,
    )  # fmt: skip
    value_range: float = setting(
        10.0, "--value-range", group="network", low=1e-3, high=1e9,
        about="the largest return that c51 knows; the smallest is its negative",
        fixed=True,
    )  # fmt: skip

    epsilon_start: float = setting(
        1.0, "-s", "--start", group="exploration", unit="probability", low=0.0, high=1.0,
        about="epsilon, the probability of a random action, at the first step",
    )  # fmt: skip
    epsilon_end: float = setting(
        0.01, "-e", "--end", group="exploration", unit="probability", low=0.0, high=1.0,
        about="epsilon from the last step of the decay on",
    )  # fmt: skip
    explore_steps: int = setting(
        30_000, "-exs", "--exploresteps", group="exploration", unit="steps", low=1, high=10**12,
        about="length of the linear decay of epsilon, in steps or games, see --count-by",
    )  # fmt: skip
    random_action_steps: int = setting(
        100, "--random-action-steps", group="exploration", unit="steps", low=1, high=10_000,
        about="most steps that a random action of training is kept for; few are kept for long, and "
        "epsilon stays the share of steps at random; 1 keeps none",
    )  # fmt: skip

    actors: int = setting(
        0, "--actors", group="actors", unit="actors", low=0, high=10_000,
        about="processes on Ray that play, each in --envs environments and with a constant epsilon "
        "of its own, 0.4 to 0.00066, while this one learns; 0 plays here, without Ray; one actor "
        "explores as --start and --end say",
        fixed=True,
    )  # fmt: skip
    ray: str | None = setting(
        None, "--ray", group="actors", kind=str, metavar="local|ADDRESS", unset="local",
        about="where actors run: in a cluster of this machine that lives as long as the run, or in "
        "the one that answers at an address such as 10.0.0.1:6379 (default: local)",
    )  # fmt: skip
    weights_every: int = setting(
        50, "--weights-every", group="actors", unit="updates", low=1, high=10**9,
        about="updates between two sets of weights that actors get, at least",
    )  # fmt: skip
    actors_in_step: bool = setting(
        False, "--actors-in-step", group="actors",
        about="let one actor at a time take one step in each of its environments, by the newest "
        "weights: slow, but the same seed gives the same run",
    )  # fmt: skip

    eval_every: int = setting(
        250_000, "--eval-every", group="evaluation", unit="steps", low=0, high=10**12,
        about="steps between two evaluations, which play whole games without learning; 0 for none",
    )  # fmt: skip
    eval_episodes: int = setting(
        10, "--eval-episodes", group="evaluation", unit="games", low=1, high=10**6,
        about="games of an evaluation",
    )  # fmt: skip
    eval_epsilon: float = setting(
        0.05, "--eval-epsilon", group="evaluation", unit="probability", low=0.0, high=1.0,
        about="probability of a random action in evaluations, also in --evaluate",
    )  # fmt: skip

    continue_from: str | None = setting(
        None, "-c", "--continue", group="files", kind=str, metavar="WEIGHTS",
        about="weights to go on from, or to play with; with the checkpoint beside them the run "
        "goes on as if it had not stopped (default: none)",
    )  # fmt: skip
    weights_only: bool = setting(
        False, "--weights-only", group="files",
        about="with --continue, take the weights alone, and no checkpoint; episodes and steps "
        "count on from the log beside them",
    )  # fmt: skip
    checkpoint_every: float = setting(
        10.0, "--checkpoint-every", group="files", unit="minutes", low=0.001, high=1e6,
        about="time between two checkpoints of the whole run; there is one more at its end",
    )  # fmt: skip
    checkpoints_kept: int = setting(
        2, "--keep", group="files", unit="checkpoints", low=1, high=10**6,
        about="newest checkpoints that stay",
    )  # fmt: skip
    replay_checkpoint: bool = setting(
        True, "--replay-checkpoint", group="files",
        about="checkpoints hold the replay memory, too; without it a run does not go on exactly",
    )  # fmt: skip
    weights_layout: str = setting(
        "channels-last", "--weights-layout", group="files",
        choices=("channels-last", "channels-first"),
        about="where the network of --continue has its channels; a file that holds a whole model "
        "says so itself",
    )  # fmt: skip
    out: str = setting(
        ".", "--out", group="files", metavar="DIR",
        about="folder for the log and the weights",
    )  # fmt: skip
    save_every: int = setting(
        10, "--save-every", group="files", unit="episodes", low=1, high=10**9,
        about="episodes between two writings of the weights",
    )  # fmt: skip
    tensorboard: bool = setting(
        False, "--tensorboard", group="files",
        about="write <env id>_tensorboard/, curves that TensorBoard shows",
    )  # fmt: skip

    render: bool = setting(
        False, "-r", "--render", group="watching",
        about="show the first environment in a window",
    )  # fmt: skip
    play: bool = setting(
        False, "-p", "--play", group="watching",
        about="play without learning or writing, with --continue or <env id>_weights.h5",
    )  # fmt: skip
    video_folder: str | None = setting(
        None, "--record", group="watching", kind=str, metavar="DIR",
        about="with --play, write each game as a video into this folder, as MP4 and as GIF "
        "(default: none)",
    )  # fmt: skip
    overlay: bool = setting(
        False, "--overlay", group="watching",
        about="with --record, or --play and --render, show beside the game the Q value of each "
        "action, what the network sees, and what its values depend on",
    )  # fmt: skip
    evaluate: bool = setting(
        False, "--evaluate", group="watching",
        about="play without learning or writing, for a table of scores, with --continue or "
        "<env id>_weights.h5",
    )  # fmt: skip
    random_play: bool = setting(
        False, "--random", group="watching",
        about="with --evaluate, play at random only, without any weights",
    )  # fmt: skip
    json_output: bool = setting(
        False, "--json", group="watching",
        about="print what --evaluate finds as JSON",
    )  # fmt: skip
    games_to_play: int = setting(
        100, "--episodes", group="watching", unit="games", low=1, high=10**6,
        about="games that --play and --evaluate play",
    )  # fmt: skip
    progress: bool = setting(
        True, "--progress", group="watching",
        about="show how the run goes",
    )  # fmt: skip
    episode_lines: bool = setting(
        False, "--episode-lines", group="watching",
        about="print a line for each episode: phase, episode, score, memory, epsilon, step",
    )  # fmt: skip
    cpu: bool = setting(
        False, "--cpu", group="watching",
        about="use no GPU",
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Checks every range, then which settings go together."""
        for field in fields(self):
            check_range(field.metadata, getattr(self, field.name))
        _check_reward_clip(self.reward_clip)
        self._check_pairs()
        self._check_memory()

    def _check_pairs(self) -> None:
        """Raises ConfigError if two settings do not go together."""
        if self.state_frames == "raw" and self.frame_stack_size != self.frame_skip:
            raise ConfigError(
                f"--framestacksize {self.frame_stack_size} is not --frame-skip {self.frame_skip}: "
                "with --state-frames raw a state is the frames of one step, so make them equal"
            )
        if self.epsilon_start < self.epsilon_end:
            raise ConfigError(
                f"--start {self.epsilon_start} is below --end {self.epsilon_end}: epsilon decays, "
                f"so give a --start of at least {self.epsilon_end}"
            )
        if self.n_step_start is not None and self.n_step_start < self.n_step:
            raise ConfigError(
                f"--n-step-start {self.n_step_start} is below --n-step {self.n_step}: the steps of "
                f"a return fall, so give a --n-step-start of at least {self.n_step}"
            )
        if self.discount_start is not None and self.discount_start > self.discount:
            raise ConfigError(
                f"--gamma-start {self.discount_start} is above --gamma {self.discount}: the "
                f"discount rises, so give a --gamma-start of at most {self.discount}"
            )
        if self.discount_start is not None and self.discount_start < self.discount == 1:
            raise ConfigError(
                "--gamma 1.0 is reached by no factors, by which it rises from --gamma-start: "
                "give a --gamma below 1, such as 0.999"
            )
        if not self.actors and (self.ray is not None or self.actors_in_step):
            flag = "ray" if self.ray is not None else "actors-in-step"
            raise ConfigError(f"--{flag} says how actors play: give --actors as well")
        if self.actors:
            self._check_actors()
        if self.munchausen and self.double:
            raise ConfigError(
                "--munchausen follows a soft policy, and has no best action for --double to "
                "choose: give --no-double as well"
            )
        if self.munchausen and self.value_rescaling:
            raise ConfigError(
                "--munchausen's temperature is made for the values of clipped rewards: "
                "leave out --value-rescaling"
            )
        if self.play and self.evaluate:
            raise ConfigError("--play is to watch and --evaluate to measure: give one of them")
        if self.video_folder is not None and not self.play:
            raise ConfigError("--record writes the games of --play: give that as well")
        if self.overlay and not (self.play and (self.render or self.video_folder is not None)):
            raise ConfigError(
                "--overlay is drawn beside the games of --play: give that with --render or --record"
            )
        for flag, given in (("random", self.random_play), ("json", self.json_output)):
            if given and not self.evaluate:
                raise ConfigError(f"--{flag} says how to --evaluate: give that as well")
        if self.distribution != "none" and self.loss != "huber":
            raise ConfigError(
                f"--distribution {self.distribution} has a loss of its own: leave out "
                f"--loss {self.loss}"
            )

    def _check_actors(self) -> None:
        """Raises ConfigError if a setting does not go together with actors."""
        if self.count_by == "games":
            raise ConfigError(
                "--count-by games does not go with --actors, whose steps come in chunks, so that "
                "nobody can say in time which game ends next: count by steps"
            )
        if self.memory_on_device:
            raise ConfigError(
                "--memory-on-device does not go with --actors, whose parts of the memory fill at "
                "their own pace: leave one of them out"
            )
        if self.render:
            raise ConfigError(
                "--render shows a game of this process, and with --actors all are elsewhere: leave "
                "one of them out"
            )

    def _check_memory(self) -> None:
        """Raises ConfigError if the memory is too small for the other settings."""
        smallest = self.batch_size * max(1, self.actors)
        if self.memory_size < smallest:
            of_each = f" for each of {self.actors} actors" if self.actors else ""
            raise ConfigError(
                f"--memory {self.memory_size} is below --batch {self.batch_size}{of_each}: "
                f"give a memory of at least {smallest} transitions"
            )
        n_step = max(self.n_step, self.n_step_start or 0)
        smallest = self.streams * (self.frame_stack_size + n_step)
        if self.memory_size < smallest:
            raise ConfigError(
                f"--memory {self.memory_size} is too small for {self.streams} environments with "
                f"states of {self.frame_stack_size} frames and {n_step}-step returns: "
                f"give at least {smallest} transitions"
            )

    @property
    def frames_per_step(self) -> int:
        """Frames that each step adds to the state."""
        return self.frame_skip if self.state_frames == "raw" else 1

    @property
    def streams(self) -> int:
        """Environments of the run, those of all actors together."""
        return self.envs * max(1, self.actors)

    @property
    def is_training(self) -> bool:
        """Whether the run learns, and does not only play."""
        return not (self.play or self.evaluate)

    @property
    def channels_first(self) -> bool:
        """Whether the weights to go on from are those of a network with its channels first."""
        return self.weights_layout == "channels-first"

    @property
    def run_id(self) -> str:
        """A name for this run in its files: a hash of the settings that stay fixed in a run."""
        fixed = [getattr(self, field.name) for field in fields(self) if field.metadata["fixed"]]
        return hashlib.sha256(json.dumps(fixed).encode()).hexdigest()[:16]


def _check_reward_clip(value: str) -> None:
    """Raises ConfigError if the value is no way to clip rewards."""
    if value in ("sign", "none"):
        return
    try:
        # In this range the float32 of a reward is far from 0 and from infinity.
        if 1e-6 <= float(value) <= 1e9:
            return
    except ValueError:
        pass
    raise ConfigError(
        f"--reward-clip {value!r}: give sign, none, or a number from 1e-06 to 1,000,000,000"
    )
