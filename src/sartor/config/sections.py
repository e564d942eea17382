"""The sections of a job file that belong to no other part of Sartor: data, evaluation, export, and what is left."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

if TYPE_CHECKING:
    from sartor.data import Augmentation, ImageSet

# How many pictures: a whole number is a count, a number with a point a fraction of the training pictures.
Size = Annotated[int, Field(ge=0)] | Annotated[float, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
ImageSize = Annotated[int, Field(ge=8, le=1024)]
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["float32", "bfloat16"]
Baseline = Literal["uniform", "random", "random_trained", "standalone", "random_architecture", "msdnet"]
Weighting = Literal["S", "RS", "U", "M", "L", "RL"]


@dataclass(frozen=True, kw_only=True)
class AugmentationSettings:
    """What may happen to a training picture; see :class:`sartor.data.Augmentation`, whose fields these are."""

    pad: Count = 0
    flip: bool = False
    cutout: Count = 0
    resized_crop: tuple[float, float] | None = None
    autoaugment: Literal["cifar10", "imagenet"] | None = None
    randaugment: tuple[int, int] | None = None


AugmentationChoice = AugmentationSettings | Literal["standard", "none"]


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Which pictures, and what each of them is for.

    ``weights``, ``policy`` and ``selection`` are disjoint parts of the training pictures (``weights: null`` takes what
    the others leave); with ``train_on_all`` every picture teaches weights, and there is no validation accuracy.
    ``augmentation`` is ``standard`` for the pictures at hand, ``none``, or a mapping; ``search_augmentation`` that of
    the search, where it is another one. ``workers`` decode and augment
    larger pictures; ``cache`` is where decoded ones are kept.
    """

    source: str = "digits"
    path: Path | None = None
    image_size: ImageSize | None = None
    classes: Annotated[int, Field(ge=2)] | list[int | str] | None = None
    pictures_per_class: PositiveInt | None = None
    test_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.2
    weights: Size | None = 0.8
    policy: Size = 0.1
    selection: Size = 0.1
    train_on_all: bool = False
    augmentation: AugmentationChoice = "standard"
    search_augmentation: AugmentationChoice | None = None
    workers: Count = 0
    cache: Path | None = None

    def make_augmentation(self, pictures: ImageSet) -> Augmentation:
        """The augmentation asked for, given the training pictures."""
        return _augmentation(self.augmentation, pictures)

    def make_search_augmentation(self, pictures: ImageSet) -> Augmentation | None:
        """That of the search, where it is another one."""
        return None if self.search_augmentation is None else _augmentation(self.search_augmentation, pictures)


def _augmentation(asked: AugmentationChoice, pictures: ImageSet) -> Augmentation:
    from sartor.data import Augmentation

    if asked == "standard":
        return Augmentation.standard(pictures)
    return Augmentation() if asked == "none" else Augmentation(**asdict(asked))


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """How networks are judged.

    ``calibration_pictures`` of the training pictures give the statistics of batch norm; ``cloud`` random
    architectures are scored with the shared weights, for the picture of accuracy against cost. ``mode_pictures`` judge
    the most probable networks of a policy once per epoch of the search, twenty times at least (0: never).
    """

    calibration_pictures: PositiveInt = 2048
    batch_size: PositiveInt = 256
    cloud: Count = 100
    mode_pictures: Count = 256


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """Which files are made, from how many pictures on they are verified, and how often they are timed.

    ``deploy_test_pictures`` judge a network at the deploy size, where that is another than the training size.
    """

    onnx: bool = True
    verification_pictures: PositiveInt = 128
    latency_repeats: Annotated[int, Field(ge=10)] = 200  # fewer give no spread
    deploy_test_pictures: Count = 1000


@dataclass(frozen=True, kw_only=True)
class MeasureSettings:
    """Whether exported winners with a latency budget are measured on the machine that their device's file was made on.

    ``seconds``: how long each of them is measured, at least once.
    """

    winners: bool = True
    seconds: Annotated[float, Field(gt=0, le=3600)] = 3.0


@dataclass(frozen=True, kw_only=True)
class RandomTrainedSettings:
    """The baseline ``random_trained``, the protocol of TuNAS (section 3.2).

    Per platform so many random ``networks`` are trained for ``short_epochs`` each (null: a quarter of the final
    training, as in the paper), and the best of them on the selection pictures is then trained like the method's answer.
    ``window``: they use at least 1 - window of the first summed budget (the paper: a millisecond of 84); null: anything
    within.
    """

    networks: PositiveInt = 20
    short_epochs: Annotated[float, Field(gt=0)] | None = None
    window: Annotated[float, Field(gt=0, lt=1)] | None = 0.012


@dataclass(frozen=True, kw_only=True)
class General:
    """What stands at the top level of a job file.

    ``deploy_image_size``: costs and exported files are for pictures of this size, while search and training use the
    pictures as ``data`` gives them; null: one size for all. ``search_space``: options of the space that differ while
    it is searched, such as fewer channels or scales; the choices must stay the same. ``baselines`` null: uniform widths
    where there are such, else none. ``threads`` null: all cores.
    ``checkpoint_seconds``: what a kill may cost at most, beside ten steps.
    """

    name: str = "run"
    weighting: Weighting | None = None
    deploy_image_size: ImageSize | None = None
    search_space: dict[str, Any] | None = None
    baselines: tuple[Baseline, ...] | None = None
    seed: Count = 0
    device: Device = "auto"
    precision: Precision = "float32"
    threads: PositiveInt | None = None
    checkpoint_seconds: Annotated[float, Field(ge=0)] = 15.0
