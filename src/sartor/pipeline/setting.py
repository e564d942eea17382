"""Everything the stages of a run share: space, pictures, index sets, platforms, machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from torch import Tensor

from sartor import world
from sartor.config import RandomTrainedSettings
from sartor.data import (
    Augmentation,
    BatchStream,
    ImageSet,
    IndexSets,
    Normalisation,
    Pictures,
    PixelStore,
    ordered_batches,
)
from sartor.data.images import Indices
from sartor.errors import RequestError
from sartor.methods.method import Method
from sartor.methods.registry import method_class
from sartor.platforms import Platform
from sartor.runtime import Runtime
from sartor.seeds import numpy_generator
from sartor.space import SearchSpace
from sartor.train.settings import FinalTraining, OptimiserSettings, SearchTraining
from sartor.train.teacher import Outputs

# Reads some training and some test pictures of the job anew, at another size.
ReadAt = Callable[[int, Indices, Indices], Pictures]


@dataclass(frozen=True)
class Setting:
    """One job, resolved to objects.

    ``calibration_pictures`` measure batch-norm statistics; ``evaluation_batch`` is the batch size of evaluations;
    ``cloud`` random architectures are scored for the picture of the report, and the most probable ones of a policy are
    judged on ``mode_pictures`` from time to time. ``deploy`` is the space at the size of pictures that networks are
    shipped for, where that is not the size at which they are searched and trained; ``read_at`` decodes larger pictures
    for it. ``search_space`` is the space whose shared weights are searched, where that is not ``space``: the same
    decisions in a smaller or a wider network. ``search_augmentation``: that of the search, where it has its own.
    """

    space: SearchSpace
    pictures: Pictures
    index_sets: IndexSets
    platforms: tuple[Platform, ...]
    method_name: str
    method_settings: object
    search: SearchTraining
    train: FinalTraining
    augmentation: Augmentation
    runtime: Runtime
    seed: int = 0
    workers: int = 0
    calibration_pictures: int = 2048
    evaluation_batch: int = 256
    cloud: int = 100
    mode_pictures: int = 256
    random_trained: RandomTrainedSettings = field(default_factory=RandomTrainedSettings)
    deploy: SearchSpace | None = None
    search_space: SearchSpace | None = None
    search_augmentation: Augmentation | None = None
    read_at: ReadAt | None = None

    def __post_init__(self) -> None:
        train = self.pictures.train
        expected = {"image_size": train.image_size, "in_channels": train.channels, "num_classes": train.num_classes}
        for name, value in expected.items():
            if getattr(self.space, name) != value:
                raise RequestError(
                    f"space.{name} is {getattr(self.space, name)}, but the pictures of {train.name!r} have {value}; "
                    "leave it out and it is taken from the data"
                )
        if self.search_space is not None and self.search_space.decisions != self.space.decisions:
            raise RequestError(
                f"search_space: with these options {self.space.name} has other decisions than the space that is cut "
                "from it; change only options that leave the choices as they are, such as widths and depths"
            )
        if self.deploy is not None and self.deploy.decisions != self.space.decisions:
            raise ValueError("the space of deployment must have the decisions of the space that is searched")

    @property
    def deploy_space(self) -> SearchSpace:
        """The space that costs and exported files are about: its rows are those of ``space``."""
        return self.deploy or self.space

    @property
    def supernet_space(self) -> SearchSpace:
        """The space whose shared weights are searched."""
        return self.search_space or self.space

    @cached_property
    def normalisation(self) -> Normalisation:
        """Mean and standard deviation of the pictures that teach weights."""
        return Normalisation.of(self.pictures.train.images, self.index_sets.weights)

    @cached_property
    def train_pixels(self) -> PixelStore:
        """The training pictures where they are needed."""
        return PixelStore(self.pictures.train.images, self.runtime.device, self.workers)

    def method(self, name: str | None = None) -> Method:
        """A fresh method; another name than the job's comes with its default settings."""
        chosen = method_class(name or self.method_name)
        settings = self.method_settings if name in (None, self.method_name) else None
        return chosen(self.deploy_space, self.platforms, settings, self.seed)

    def teacher(self) -> Outputs | None:
        """The teacher of the final training, loaded anew at every call; None if it has none.

        Raises:
            RequestError: its file cannot be used, or it is for other pictures.
        """
        from sartor.pipeline.teacher import load_teacher

        return load_teacher(self.train, self.pictures.train, self.normalisation, self.runtime)

    def search_stream(self, settings: OptimiserSettings, indices: Indices, purpose: str) -> BatchStream:
        """Training batches as the search augments them."""
        return self.stream(settings, indices, purpose, self.search_augmentation)

    def stream(
        self,
        settings: OptimiserSettings,
        indices: Indices,
        purpose: str,
        augmentation: Augmentation | None = None,
    ) -> BatchStream:
        """Training batches from some of the training pictures, by default augmented as in the final training."""
        # A seed of its own, so that two streams of one run do not see the same order and augmentation.
        seed = int(numpy_generator(self.seed, purpose).integers(2**31))
        return BatchStream(
            self.train_pixels,
            self.pictures.train.labels,
            indices,
            settings.batch_size,
            augmentation or self.augmentation,
            self.normalisation,
            seed,
            self.runtime.device,
            rank=world.rank(),
            world_size=world.size(),
        )

    def calibration_batches(self, limit: int | None = None) -> Iterator[Tensor]:
        """The same pictures at every call (at most ``limit``), unaugmented, drawn from those that teach weights."""
        rows, size = self.calibration_rows(limit)
        for x, _ in self._ordered(self.pictures.train, rows, size):
            yield x

    def calibration_rows(self, limit: int | None = None) -> tuple[Indices, int]:
        """Which training pictures measure batch-norm statistics, in whole batches, and the batch size."""
        weights = self.index_sets.weights
        chosen = numpy_generator(self.seed, "calibration").permutation(weights)[: limit or self.calibration_pictures]
        size = min(self.evaluation_batch, len(chosen))
        return chosen[: len(chosen) // size * size], size  # a small last batch would count like a large one

    def selection_batches(self, limit: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """The pictures on which candidates are compared (at most ``limit``, a seeded choice)."""
        chosen = self.index_sets.selection
        if limit is not None and limit < len(chosen):
            chosen = np.sort(numpy_generator(self.seed, "selection").permutation(chosen)[:limit])
        yield from self._ordered(self.pictures.train, chosen, self.evaluation_batch)

    def test_batches(self, rows: Indices | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """The pictures that judge (default: all of them)."""
        if self.pictures.test is not None:
            chosen = self.index_sets.test if rows is None else rows
            yield from self._ordered(self.pictures.test, chosen, self.evaluation_batch)

    def _ordered(self, pictures: ImageSet, indices: Indices, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        if not len(indices):
            return iter(())
        images = self.train_pixels if pictures is self.pictures.train else pictures.images
        return ordered_batches(images, pictures.labels, indices, size, self.normalisation, self.runtime.device)
