"""Networks at the size of pictures they are shipped for, where they were searched and trained at another one.

The weights stay; batch-norm statistics are measured anew on training pictures of the new size, and the network is
judged there. Pictures in an array are enlarged (bilinear, by the code that prepares pictures for an exported file);
larger picture files are decoded anew at the new size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from sartor.data import ImageSet, PixelStore, RaggedImages, ordered_batches
from sartor.data.decode import centre_crop, resize_shorter_side, resize_side, to_squares
from sartor.data.images import Indices
from sartor.evaluate import evaluate
from sartor.pipeline.setting import Setting
from sartor.seeds import numpy_generator
from sartor.train.calibration import recalibrate

Pixels = NDArray[np.uint8]
Rows = Mapping[str, Indices]  # "train" and "test"


class DeployPictures:
    """Some pictures of a job at the size that its networks are shipped for.

    Args:
        setting: whose pictures; larger ones are read anew where it knows how.
        rows: the only rows that will be asked for, of the ``train`` and the ``test`` pictures.
    """

    def __init__(self, setting: Setting, rows: Rows) -> None:
        self.setting = setting
        self.size = setting.deploy_space.image_size
        self.rows = {part: np.unique(chosen) for part, chosen in rows.items()}
        self.anew = None
        self.how = "enlarged" if self.size > setting.space.image_size else "reduced"
        if isinstance(setting.pictures.train.images, RaggedImages) and setting.read_at is not None:
            self.anew = setting.read_at(self.size, self.rows["train"], self.rows["test"])
            self.how = "decoded"

    def pixels(self, part: str, rows: Indices) -> Pixels:
        """Pictures ``rows`` of a part as an evaluation sees them: uint8 ``[n, size, size, channels]``."""
        if self.anew is not None:
            places = np.searchsorted(self.rows[part], rows)
            plain: Pixels = PixelStore(_part(self.anew, part).images).plain(places).numpy()
            return plain
        images = _part(self.setting.pictures, part).images
        if not isinstance(images, RaggedImages):
            return to_squares(images[rows], self.size)
        side = resize_side(self.size)
        return np.stack([centre_crop(resize_shorter_side(images[row], side), self.size) for row in rows])

    def batches(self, part: str, rows: Indices, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Normalised pictures and labels in batches of ``size``, made one at a time."""
        labels = _part(self.setting.pictures, part).labels
        for low in range(0, len(rows), size):
            chosen = rows[low : low + size]
            pixels, every = self.pixels(part, chosen), np.arange(len(chosen))
            normalisation, device = self.setting.normalisation, self.setting.runtime.device
            yield from ordered_batches(pixels, labels[chosen], every, size, normalisation, device)


@dataclass(frozen=True)
class Deployed:
    """A network at the deploy size, on the CPU, and the pictures of that size.

    ``facts``: both sizes, how the pictures came to the new one, on how many test pictures the network was judged, and
    its accuracy in percent on these at either size (None where there are none).
    """

    network: nn.Module
    facts: dict[str, Any]
    pictures: DeployPictures


def deploy(
    setting: Setting,
    network: nn.Module,
    architecture: Mapping[str, Any],
    *,
    test_pictures: int,
    also: Rows = MappingProxyType({}),
) -> Deployed:
    """The trained ``network`` of an ``architecture`` (option values) made ready for the deploy size.

    Args:
        test_pictures: how many judge it, a seeded choice.
        also: further rows that the pictures must hold.
    """
    calibration, batch = setting.calibration_rows()
    judging = _judging_rows(setting, test_pictures)
    wanted = {"train": calibration, "test": judging}
    rows = {part: np.concatenate([chosen, also.get(part, chosen[:0])]) for part, chosen in wanted.items()}
    pictures = DeployPictures(setting, rows)
    larger = setting.deploy_space.blueprint(architecture).build()
    larger.load_state_dict(network.state_dict())
    setting.runtime.place(larger.eval())
    recalibrate(larger, larger, (x for x, _ in pictures.batches("train", calibration, batch)))
    facts = {
        "image_size": setting.deploy_space.image_size,
        "training_image_size": setting.space.image_size,
        "pictures": pictures.how,
        "test_pictures": len(judging),
        "test_accuracy": None,
        "test_accuracy_at_training_size": None,
    }
    if len(judging):
        judged = pictures.batches("test", judging, setting.evaluation_batch)
        facts["test_accuracy"] = evaluate(larger, judged).accuracy
        facts["test_accuracy_at_training_size"] = _at_training_size(setting, network, judging)
    return Deployed(larger.cpu(), facts, pictures)


def _judging_rows(setting: Setting, count: int) -> Indices:
    """Which test pictures judge: a seeded choice of the whole test set."""
    if setting.pictures.test is None:
        return np.zeros(0, np.int64)
    return np.sort(numpy_generator(setting.seed, "deploy").permutation(setting.index_sets.test)[:count])


def _at_training_size(setting: Setting, network: nn.Module, rows: Indices) -> float:
    device = next(network.parameters()).device
    setting.runtime.place(network)
    accuracy = evaluate(network, setting.test_batches(rows)).accuracy
    network.to(device)
    return accuracy


def _part(pictures: Any, part: str) -> ImageSet:
    found: ImageSet = getattr(pictures, part)
    return found
