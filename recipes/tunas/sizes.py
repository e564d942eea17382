"""The experiment of TuNAS at three sizes: the paper's, one for two CPU cores, one that tries everything in a minute."""

from __future__ import annotations

from typing import Any

from sartor.data import Augmentation
from sartor.methods.tunas import TuNAS, TuNASSettings
from sartor.train.settings import FinalTraining, SearchTraining
from searches.sizes import CIFAR10, Size, Target, around


def _pixel1(value: float, low: float, high: float, dropout: float) -> Target:
    return Target(value=value, low=low, high=high, cost="latency_ms", device="pixel1_tunas", dropout=dropout)


# The paper's training, of shared weights and of networks alone: the method's defaults, but for lengths and batches.
_RECIPE = {k: v for k, v in TuNAS.search_defaults.items() if k not in ("epochs", "batch_size", "policy_batch_size")}
_ALONE = {k: v for k, v in TuNAS.train_defaults.items() if k not in ("epochs", "dropout", "dropout_from_epochs")}
_SMALL_RATE = {"learning_rate": 0.8}
_SMALL, _SMALL_ALONE = {**_RECIPE, **_SMALL_RATE}, {**_ALONE, **_SMALL_RATE}
_SMOKE_SPACE: dict[str, Any] = {"layout": "small", "multiplier": 0.125, "depth": 2}

SIZES = {
    # Of ImageNet's 1,281,167 training pictures 50,046 steer the search and judge the short trainings; the long ones
    # have all, and are judged on the official validation pictures (the folder's `val`). Officially a step has 4,096
    # pictures on 32 cores, each with an architecture of its own for 128 of them and for 512 that steer. Here one step
    # is what a core does: as many architectures and pictures in all, and the sum of the official policy rates (380),
    # but the weights move after each architecture, at the rate for 128 pictures. Networks alone have the official step,
    # with the batch statistics of 128 pictures.
    "full": Size(
        name="full",
        method="tunas",
        source="folder",
        image_size=224,
        in_channels=3,
        num_classes=1000,
        augmentation=Augmentation(resized_crop=(0.08, 1.0), flip=True),
        policy=50_046,
        selection=None,
        space="mobilenetv3_like",
        targets={
            "proxylessnas": _pixel1(84.0, 83.0, 85.0, 0.15),
            "proxylessnas_enlarged": _pixel1(84.0, 83.0, 85.0, 0.15),
            "mobilenetv3_like": _pixel1(57.0, 57.0, 59.0, 0.25),
        },
        search=SearchTraining(epochs=90, batch_size=128, policy_batch_size=512, **_RECIPE),
        settings=TuNASSettings(rate_sum=380.0),
        short=FinalTraining(epochs=90, batch_size=4096, micro_batch=128, dropout=0.0, **_ALONE),
        long=FinalTraining(epochs=360, batch_size=4096, micro_batch=128, **_ALONE),
        randoms=50,
        seeds=(0, 1, 2, 3, 4),
        calibration_pictures=16_384,
    ),
    # Deviations from the paper, for the sake of two CPU cores: CIFAR-10 at 24 pixels, whose side the layout `cifar`
    # halves four times; a quarter of the widths (0.375 of those of the fixed filters, so that the target is in the
    # middle of every space) and two layers a block; a target in MACs, the median of random networks of the enlarged
    # space. Batches of 32, of 128 for the policy: a quarter of what an architecture sees officially. 4.4 epochs of
    # search, 2 alone, with a rate of 0.1 a step, five times the paper's by its rule: settled on single trainings (see
    # the README) before anything was compared. The policy's rates sum to 150: the method's own rule gives the main
    # searches 171 and the short ones of the ablations 86. No second stage.
    "cpu": Size(
        name="cpu",
        method="tunas",
        **CIFAR10,
        image_size=24,
        space="proxylessnas_enlarged",
        space_options={
            "proxylessnas_enlarged": {"layout": "cifar", "multiplier": 0.25, "depth": 2},
            "proxylessnas": {"layout": "cifar", "multiplier": 0.375, "depth": 2},
        },
        targets={"proxylessnas_enlarged": around(2.5e6), "proxylessnas": around(2.5e6)},
        search=SearchTraining(epochs=4.4, batch_size=32, policy_batch_size=128, **_SMALL),
        settings=TuNASSettings(rate_sum=150.0),
        short=FinalTraining(epochs=2, batch_size=32, dropout=0.0, **_SMALL_ALONE),
        long=None,
        randoms=20,
        seeds=(0, 1, 2),
    ),
    "smoke": Size(
        name="smoke",
        method="tunas",
        source="digits",
        image_size=8,
        in_channels=1,
        num_classes=10,
        policy=200,
        selection=None,
        space="proxylessnas_enlarged",
        space_options=dict.fromkeys(("proxylessnas_enlarged", "proxylessnas"), _SMOKE_SPACE),
        targets={"proxylessnas_enlarged": around(8e5, 0.2, 0.15), "proxylessnas": around(4.7e5, 0.2, 0.15)},
        search=SearchTraining(epochs=0.3, batch_size=32, policy_batch_size=64, **_SMALL),
        settings=TuNASSettings(rate_sum=150.0),
        short=FinalTraining(epochs=0.3, batch_size=32, dropout=0.0, **_SMALL_ALONE),
        long=FinalTraining(epochs=0.5, batch_size=32, **_SMALL_ALONE),
        randoms=3,
        seeds=(0, 1),
        ablation_share=0.5,
        calibration_pictures=256,
    ),
}
