"""How weights are trained: the papers' schedules as defaults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sartor.initialisers import Initialiser

OptimiserName = Literal["sgd", "rmsprop", "adam"]
ScheduleName = Literal["constant", "exponential", "cosine", "linear"]

_NETWORK_FILES = (".safetensors", ".onnx")


def names_file(teacher: str) -> bool:
    """Whether a teacher is given as a file; otherwise as the name of a known network."""
    return Path(teacher).suffix in _NETWORK_FILES


@dataclass(frozen=True, kw_only=True)
class OptimiserSettings:
    """An optimiser with a schedule.

    ``batch_size`` pictures make a step; ``micro_batch`` (a divisor of it) accumulates gradients over smaller pieces,
    so that the paper's batch fits a small machine. ``learning_rate`` belongs to ``per_pictures`` pictures and grows
    with the batch (None: it belongs to a batch, whatever its size).

    ``warmup_share``: the share of the training in which the rate rises linearly from zero. ``decay`` multiplies the
    rate once per epoch (exponential schedule only); ``final_rate`` is where the cosine or the line ends, scaled with
    the batch as ``learning_rate`` is.

    ``momentum`` is what every rule keeps of its last steps (Adam: of the mean gradient); ``nesterov`` is SGD's alone.
    ``rmsprop_decay``, ``rmsprop_epsilon``, ``adam_decay`` and ``adam_epsilon`` concern the mean of squares (see
    :mod:`sartor.train.updates`). ``weight_decay`` times the weight is part of the gradient: of every weight that
    moves, or (``weight_decay_on: convolutions``) of the part of the convolution kernels that the step used, as a
    penalty in the loss would have it. ``dense_updates`` applies the rule to weights that no pass of the step used
    as well, as the official codes do. ``gradient_clip`` is the greatest Euclidean norm of all gradients of a step
    together, before weight decay: longer ones are shortened to it.

    ``exit_weights``: what the loss of each exit counts in the sum that trains a network with exits (None: 1 each);
    ``exits_averaged`` divides that sum by their number, for rates and clipping tuned with one exit.

    There is no momentum of batch-norm statistics: they are measured anew before anything is evaluated or exported.
    """

    epochs: float
    batch_size: int = 128
    micro_batch: int | None = None
    optimiser: OptimiserName = "sgd"
    learning_rate: float = 0.1
    per_pictures: int | None = None
    schedule: ScheduleName = "constant"
    decay: float = 0.985
    warmup_share: float = 0.0
    momentum: float = 0.9
    nesterov: bool = False
    rmsprop_decay: float = 0.9
    rmsprop_epsilon: float = 1e-3
    adam_decay: float = 0.999
    adam_epsilon: float = 1e-8
    weight_decay: float = 0.0
    weight_decay_on: Literal["all", "convolutions"] = "all"
    dense_updates: bool = False
    label_smoothing: float = 0.0
    initialiser: Initialiser = "he_fan_out"
    final_rate: float = 0.0
    gradient_clip: float | None = None
    exit_weights: tuple[float, ...] | None = None
    exits_averaged: bool = False


@dataclass(frozen=True, kw_only=True)
class SearchTraining(OptimiserSettings):
    """Training of the supernet: constant rate 0.1 for 50 epochs (Wang & Blaschko, section 4.1).

    Momentum and decay are not stated there; these are those of the AOWS code. ``policy_batch_size``: pictures per
    batch that steers the method (None: as many as teach the weights). ``recompute``: where several options are on at
    once, what happens inside them is computed again for the backward pass, so that their memory is that of one.
    """

    epochs: float = 50
    weight_decay: float = 1e-5
    policy_batch_size: int | None = None
    recompute: bool = True


@dataclass(frozen=True, kw_only=True)
class FinalTraining(OptimiserSettings):
    """Training of the chosen networks: 300 epochs, rate 0.1 times 0.985 per epoch (section 4.1).

    ``mode``: one network with shared weights (``slimmable``), each network alone (``standalone``), or one network whose
    exits serve the platforms (``anytime``).
    ``sampling``: which middle platforms the sandwich draws, uniformly (suffix -U) or by weight (suffix -W).
    ``random_passes``: middle platforms per step. ``dropout`` acts on the largest network's passes only, and only in
    a training of at least ``dropout_from_epochs``. ``drop_path`` (stochastic depth) acts on the same passes: of n
    blocks with a residual branch the i-th leaves it out for a picture at rate ``drop_path * i / n``, and a node of a
    cell does without each of its edges at rate ``drop_path``, identities excepted (DARTS). With ``drop_path_ramp`` the
    rates grow from 0 to these over the training, linearly in the steps (DARTS: in the epochs).
    ``distillation``: the other passes learn the largest network's soft predictions in place of the labels.
    ``weight_average``: decay per step of a moving average of the weights, which is what is evaluated and exported
    (0: the last weights are).

    ``exit_distillation``: the share of the loss of all exits but the last that the last one's predictions have, at
    ``exit_temperature``; ``gradient_equilibrium`` scales the gradients of exits so that those of many exits add up to
    that of about one (see :mod:`sartor.train.exits` and :func:`sartor.train.paths.equilibrium`). ``auxiliary_weight``:
    what the loss of an auxiliary exit counts, where the network has one; it is not part of what is trained for.

    ``teacher``: a trained network from which the largest network (alone: every network) learns beside the labels, a
    .safetensors or .onnx file or the name of a known network, whose weights are then in ``teacher_file``. The loss is
    (1 - weight) * CE + weight * temperature^2 * KL(teacher || network), see :class:`sartor.train.teacher.Lesson`.
    FP-NAS distils so and states neither value: these are ours. ``teacher_mean`` and ``teacher_std``: what the teacher
    subtracts from and divides pictures of values 0 to 1 by, per channel, where its file does not say so itself.
    """

    epochs: float = 300
    schedule: ScheduleName = "exponential"
    nesterov: bool = True
    weight_decay: float = 5e-4
    mode: Literal["slimmable", "standalone", "anytime"] = "slimmable"
    sampling: Literal["uniform", "weight"] = "uniform"
    random_passes: int = 1
    dropout: float = 0.6
    dropout_from_epochs: float = 0.0
    drop_path: float = 0.0
    drop_path_ramp: bool = False
    distillation: bool = False
    weight_average: float = 0.0
    exit_distillation: float = 0.0
    exit_temperature: float = 1.0
    gradient_equilibrium: bool = False
    auxiliary_weight: float = 0.4
    teacher: str | None = None
    teacher_file: Path | None = None
    teacher_weight: float = 0.5
    teacher_temperature: float = 1.0
    teacher_mean: tuple[float, ...] | None = None
    teacher_std: tuple[float, ...] | None = None

    @property
    def dropout_rate(self) -> float:
        """The rate at which this training drops features; 0 where it is too short to drop any."""
        return self.dropout if self.epochs >= self.dropout_from_epochs else 0.0
