"""The experiment of FP-NAS at many sizes: the paper's eleven searches, two for two CPU cores, and one to try it all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sartor.data import Augmentation
from sartor.methods.fpnas import FPNAS, FPNASSettings
from sartor.train.settings import FinalTraining, SearchTraining
from searches.sizes import CIFAR10, Alone, Size, around

# ImageNet's pictures of the search and of the training alone; the classes of the search are drawn from this seed.
_CLASSES = {"classes": 100, "seed": 0}
_CROPS = (0.08, 1.0)
# The method's defaults are those of one of the paper's eight GPUs.
_SEARCH = {k: v for k, v in FPNAS.search_defaults.items() if k != "batch_size"}
_ALONE = {k: v for k, v in FPNAS.train_defaults.items() if k not in ("batch_size", "mode")}


def _paper(name: str, space: str, image_size: int, target_macs: float) -> Size:
    """One search of the paper.

    100 random classes of ImageNet, half of whose pictures teach the weights and half steer the policy, 2,048 of each
    a step (micro batches of 256: the statistics of one of eight GPUs), 315 epochs; then the answer alone on all
    pictures of all classes, judged on the official validation pictures. Costs are those of networks for 1,000 classes.
    The batch of the training alone is not stated: 4,096, to which the rate of 0.2 belongs (ours), and crops and flips
    beside AutoAugment are ours. The paper repeats nothing and has no random networks: ``--seeds``, ``--randoms``.
    """
    return Size(
        name=name,
        method="fpnas",
        settings=FPNASSettings(rate_rule="paper"),
        source="folder",
        image_size=image_size,
        in_channels=3,
        num_classes=100,
        data=_CLASSES,
        augmentation=Augmentation(resized_crop=_CROPS, flip=True),
        policy=0.5,
        selection=None,
        space=space,
        targets={space: around(target_macs)},
        search=SearchTraining(batch_size=2048, micro_batch=256, **_SEARCH),
        short=FinalTraining(batch_size=4096, micro_batch=256, **_ALONE),
        long=None,
        randoms=0,
        seeds=(0,),
        alone=Alone(
            num_classes=1000,
            augmentation=Augmentation(resized_crop=_CROPS, flip=True, autoaugment="imagenet"),
        ),
        ablation_share=1.0,
        calibration_pictures=16_384,
    )


# Pictures and targets of Tables 6 and 8: S and S++ at the same four, L0 to L2 (rows ours, see the spaces).
_SMALL = ((128, 60e6), (160, 90e6), (192, 130e6), (256, 250e6))
_LARGE = ((224, 0.4e9), (240, 0.7e9), (256, 1.0e9))
_PAPER = [
    *(_paper(f"s{i}", "fbnetv2_f", *given) for i, given in enumerate(_SMALL, 1)),
    *(_paper(f"s{i}_plus", "fbnetv2_f_plus", *given) for i, given in enumerate(_SMALL, 1)),
    *(_paper(f"l{i}", f"fpnas_l{i}", *given) for i, given in enumerate(_LARGE)),
]

_F_SPACES = ("fbnetv2_f", "fbnetv2_f_fine", "fbnetv2_f_plus")


def _small(name: str, depth: int, target_macs: float, **changes: Any) -> Size:
    """A size for two CPU cores.

    Deviations from the paper, all for their sake: CIFAR-10 at 16 pixels, which the layout `small` halves twice; a
    quarter of the widths and at most ``depth`` blocks a row, with the literal choices; the two activations share their
    weights. 40,000 pictures teach, 5,000 steer, 5,000 choose among random networks. A search of two thousand steps has
    another balance than one of ten thousand: steps of 32 pictures that move the weights by Adam, as those of a bank
    are drawn too rarely for plain gradients; 128 pictures that steer; a warm-up of 0.3; half of the paper's samples; a
    temperature with which losses of random networks, which spread by less than 0.1 nats in so young a supernet, weigh
    as the paper's do (0.35, facts 2.3); factorised until 0.7, as 720 joint choices a row are not seen often enough.
    Answers differ in their costs, so that every random network has the costs of one of them. What was tried before
    stands in results/fpnas_cifar_tried.md.
    """
    return Size(
        name=name,
        method="fpnas",
        settings=FPNASSettings(entropy_scale=0.125, warmup=0.3, conversion=0.7, temperature=0.2),
        **CIFAR10,
        image_size=16,
        space="fbnetv2_f",
        space_options={
            space: {"layout": "small", "multiplier": 0.25, "depth": depth, "share_activation": True}
            for space in _F_SPACES
        },
        targets=dict.fromkeys(_F_SPACES, around(target_macs)),
        search=SearchTraining(
            epochs=1.5, batch_size=32, policy_batch_size=128, optimiser="adam", learning_rate=0.005, schedule="cosine"
        ),
        short=FinalTraining(
            epochs=1.5,
            batch_size=64,
            learning_rate=0.3,
            schedule="cosine",
            warmup_share=0.05,
            weight_decay=1e-4,
            dropout=0.0,
        ),
        long=None,
        matched=True,
        **{"randoms": 20, "seeds": (0, 1, 2), "ablation_share": 0.16, **changes},
    )


SIZES: Mapping[str, Size] = {
    **{size.name: size for size in _PAPER},
    # The target: what nine of ten random networks stay below (the paper's: 97 to 99 of 100).
    "cpu": _small("cpu", 1, 1.12e6),
    # Two blocks a row, between which the fine space can differ.
    "cpu_fine": _small("cpu_fine", 2, 1.55e6, seeds=(0, 1)),
    "smoke": Size(
        name="smoke",
        method="fpnas",
        settings=FPNASSettings(),
        source="digits",
        image_size=8,
        in_channels=1,
        num_classes=10,
        policy=200,
        selection=None,
        space="fbnetv2_f",
        space_options={space: {"layout": "small", "multiplier": 0.125, "depth": 1} for space in _F_SPACES},
        targets=dict.fromkeys(_F_SPACES, around(8.1e4, 0.3)),
        search=SearchTraining(epochs=0.3, batch_size=32, learning_rate=0.1, schedule="cosine"),
        short=FinalTraining(epochs=0.3, batch_size=32, schedule="cosine", dropout=0.0),
        long=None,
        randoms=3,
        seeds=(0, 1),
        ablation_share=1.0,
        calibration_pictures=256,
    ),
}
