"""Does the input pipeline keep up? Batches loaded, augmented and normalised against a step of the smallest child.

50,000 pictures of random pixels at the size of CIFAR, pad-crop-flip (and cutout of half the side in the second
figure), batch 128, both on one thread. The step is forward, backward and torch.optim.SGD on the smallest child, the
fastest network of the space: nothing asks for batches more often.
"""

from __future__ import annotations

from itertools import count as numbers

import numpy as np
import torch

from measure import Figure, pairs, ratio, report
from sartor.data.augment import Augmentation
from sartor.data.batches import BatchStream
from sartor.data.normalise import Normalisation
from workload import SEED, Scale, Workload

GOAL = 3.0
PICTURES = 50_000


def main(scale: Scale | None = None, pictures: int = PICTURES) -> list[Figure]:
    """Measures, prints and writes everything."""
    scale = scale or Scale(pairs=40)
    work = Workload(scale)
    child = work.child(work.architecture("smallest"))
    optimiser = torch.optim.SGD(child.parameters(), lr=1e-4, momentum=0.9, foreach=True)

    def step() -> None:
        child.zero_grad()
        work.child_pass(child)
        optimiser.step()

    pad = scale.image_size // 8
    augmentations = {
        "pad, crop and flip": Augmentation(pad=pad, flip=True),
        "with cutout": Augmentation(pad=pad, flip=True, cutout=scale.image_size // 2),
    }
    figures = []
    for name, augmentation in augmentations.items():
        stream, steps = _stream(scale, pictures, augmentation), numbers()
        seconds = pairs(step, lambda stream=stream, steps=steps: stream.batch(next(steps)), scale.pairs)  # type: ignore[misc]
        rate = float(scale.batch_size / np.median(seconds[:, 1]))
        title = f"training step / batch, {name}"
        figures.append(ratio(title, seconds, goal=GOAL, at_least=True, pictures_per_cpu_second=round(rate)))
    report("input_pipeline", __doc__.splitlines()[0], figures, {**scale.settings(), "pictures": pictures})
    return figures


def _stream(scale: Scale, pictures: int, augmentation: Augmentation) -> BatchStream:
    rng = np.random.default_rng(SEED)
    images = rng.integers(256, size=(pictures, scale.image_size, scale.image_size, 3), dtype=np.uint8)
    labels = rng.integers(scale.num_classes, size=pictures)
    normalisation = Normalisation.of(images[:1000])
    return BatchStream(images, labels, np.arange(pictures), scale.batch_size, augmentation, normalisation, SEED)


if __name__ == "__main__":
    main()
