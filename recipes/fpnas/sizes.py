"""The experiment of FP-NAS at many sizes: the paper's eleven searches, two for two CPU cores, and one to try it all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sartor.data import Augmentation
from sartor.methods.fpnas import FPNAS, FPNASSettings
from sartor.train.settings import FinalTraining, SearchTraining
from searches.sizes import Alone, Size, around

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
# Trainings of a minute: RMSProp as in the paper, with a cosine that ends at zero and what TuNAS divides by at least,
# settled on single trainings (results/fpnas_cifar_tried.md). No smoothing by averages and no stochastic depth, which
# cost a training of two epochs more than they give.
_SHORT: dict[str, Any] = {
    "optimiser": "rmsprop",
    "rmsprop_epsilon": 1.0,
    "nesterov": False,
    "learning_rate": 0.1,
    "schedule": "cosine",
    "warmup_share": 0.05,
    "weight_decay": 1e-4,
    "dropout": 0.0,
}
_SMALL_SEARCH: dict[str, Any] = {"learning_rate": 0.1, "schedule": "cosine", "weight_decay": 1e-5}

SIZES: Mapping[str, Size] = {
    **{size.name: size for size in _PAPER},
    # Deviations from the paper, for the sake of two CPU cores: CIFAR-10 at 24 pixels, whose side the layout `cifar`
    # halves four times; half of the widths and at most two blocks a row (15 blocks, the literal choices: 2.7e24
    # networks); the target is the median of random networks. 40,000 pictures teach, 5,000 steer, 5,000 choose among
    # random networks. Steps of 64 pictures; the policy's rate follows from their number (rule `scaled`).
    "cpu": Size(
        name="cpu",
        method="fpnas",
        settings=FPNASSettings(),
        source="cifar10_sheets",
        image_size=24,
        in_channels=3,
        num_classes=10,
        policy=5_000,
        selection=5_000,
        space="fbnetv2_f",
        space_options={name: {"layout": "cifar", "multiplier": 0.5, "depth": 2} for name in _F_SPACES},
        targets=dict.fromkeys(_F_SPACES, around(1.63e6)),
        search=SearchTraining(epochs=1.5, batch_size=64, **_SMALL_SEARCH),
        short=FinalTraining(epochs=2.5, batch_size=32, **_SHORT),
        long=None,
        randoms=20,
        seeds=(0, 1, 2),
    ),
    # The same smaller, for the searches that are compared with each other: 16 pixels, which the layout `small` halves
    # twice, a quarter of the widths.
    "cpu16": Size(
        name="cpu16",
        method="fpnas",
        settings=FPNASSettings(),
        source="cifar10_sheets",
        image_size=16,
        in_channels=3,
        num_classes=10,
        policy=5_000,
        selection=5_000,
        space="fbnetv2_f",
        space_options={name: {"layout": "small", "multiplier": 0.25, "depth": 2} for name in _F_SPACES},
        targets=dict.fromkeys(_F_SPACES, around(1.125e6)),
        search=SearchTraining(epochs=0.5, batch_size=64, **_SMALL_SEARCH),
        short=FinalTraining(epochs=1.5, batch_size=32, **_SHORT),
        long=None,
        randoms=20,
        seeds=(0, 1),
        ablation_share=1.0,
    ),
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
        space_options={name: {"layout": "small", "multiplier": 0.125, "depth": 1} for name in _F_SPACES},
        targets=dict.fromkeys(_F_SPACES, around(8.1e4, 0.3)),
        search=SearchTraining(epochs=0.3, batch_size=32, **_SMALL_SEARCH),
        short=FinalTraining(epochs=0.3, batch_size=32, **_SHORT),
        long=None,
        randoms=3,
        seeds=(0, 1),
        ablation_share=1.0,
        calibration_pictures=256,
    ),
}
