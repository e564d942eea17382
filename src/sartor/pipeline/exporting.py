"""Files to ship: one ONNX file per platform, proved to agree, and the slimmable network as one file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sartor.config import ExportSettings
from sartor.data import PixelStore, RaggedImages, ordered_batches
from sartor.data.decode import resize_side
from sartor.data.images import Indices
from sartor.elastic.slimmable import SlimmableNetwork
from sartor.errors import VerificationError
from sartor.export import ModelCard, export_onnx, verify
from sartor.pipeline.deploying import Pixels, deploy
from sartor.pipeline.setting import Setting
from sartor.platforms import Platform
from sartor.seeds import numpy_generator

# Shared weights run the same arithmetic as the extracted network; only the order of summation may differ.
_SHARED_TOLERANCE = 1e-4


def export_platform(
    setting: Setting,
    platform: Platform,
    choice: Mapping[str, Any],
    network: nn.Module,
    path: Path,
    settings: ExportSettings,
) -> dict[str, Any]:
    """Writes a platform's ONNX file and proves it on real pictures in a fresh process; what was found, as plain data.

    ``choice`` holds the ``architecture`` (option values) and its ``costs``. Where networks are shipped for another size
    than they were trained at, the file is for that size.

    Raises:
        VerificationError: the file disagrees with the network; with the reason.
    """
    part, rows = verification_pictures(setting, settings.verification_pictures)
    deployed = None
    if setting.deploy is not None:
        judges = settings.deploy_test_pictures
        deployed = deploy(setting, network, choice["architecture"], test_pictures=judges, also={part: rows})
        network = deployed.network
    export_onnx(network, model_card(setting, platform.name, platform.budgets, choice), path)
    pixels = pixels_of(setting, part, rows) if deployed is None else deployed.pictures.pixels(part, rows)
    proof = verify(path, pixels, _reference_logits(setting, network, pixels), repeats=settings.latency_repeats)
    low, high = proof.latency_spread_ms
    return {
        "onnx_max_abs_diff": proof.max_abs_diff,
        "onnx_top1_agreement": proof.top1_agreement,
        "onnx_bytes": proof.file_bytes,
        "onnx_params": proof.params,
        "latency_ms": proof.latency_ms,
        "latency_spread_ms": high - low,
        "latency_device": "this machine",
        "deployed": None if deployed is None else deployed.facts,
    }


def model_card(setting: Setting, name: str, budgets: Mapping[str, float], choice: Mapping[str, Any]) -> ModelCard:
    """What travels in the metadata of a file, such as a platform's."""
    train, size = setting.pictures.train, setting.deploy_space.image_size
    return ModelCard(
        name=name,
        mean=setting.normalisation.mean,
        std=setting.normalisation.std,
        image_size=size,
        colour_order="RGB" if train.channels == 3 else "grey",
        class_names=train.class_names,
        resize_size=resize_side(size) if isinstance(train.images, RaggedImages) else None,
        budgets=dict(budgets),
        costs=dict(choice["costs"]),
        architecture=dict(choice["architecture"]),
        space=setting.space.name,
    )


def verification_pictures(setting: Setting, count: int) -> tuple[str, Indices]:
    """Pictures on which files are checked: "train" (from the selection set, if there is one) or "test", and rows."""
    sets, pictures = setting.index_sets, setting.pictures
    if len(sets.selection):
        part, rows = "train", sets.selection
    elif pictures.test is not None and len(sets.test):
        part, rows = "test", sets.test
    else:
        part, rows = "train", sets.weights
    return part, np.sort(numpy_generator(setting.seed, "verification").permutation(rows)[:count])


def check_shared(setting: Setting, shared: SlimmableNetwork, networks: Mapping[str, nn.Module], count: int) -> float:
    """The largest difference of a logit between the slimmable network and the single ones, all on the CPU.

    Raises:
        VerificationError: it is more than rounding.
    """
    pixels = pixels_of(setting, *verification_pictures(setting, count))
    (x,) = normalised(setting, pixels, len(pixels))
    worst = 0.0
    with torch.no_grad():
        for name, network in networks.items():
            ours, theirs = shared.switch(name)(x), network(x)
            scale = max(1.0, float(theirs.abs().max()))
            difference = float((ours - theirs).abs().max())
            worst = max(worst, difference)
            if difference > _SHARED_TOLERANCE * scale:
                raise VerificationError(
                    f"the slimmable network switched to {name!r} differs from the network exported for it by "
                    f"{difference:.3g} (allowed {_SHARED_TOLERANCE * scale:.3g}): its shared file is not used"
                )
    return worst


def _reference_logits(setting: Setting, network: nn.Module, pixels: Pixels) -> NDArray[np.float32]:
    """Float32 logits on the CPU, from the code that prepares training pictures."""
    device = next(network.parameters()).device
    network.cpu().eval()
    with torch.no_grad():
        logits = torch.cat([network(x) for x in normalised(setting, pixels, 128)]).numpy()
    network.to(device)
    return np.asarray(logits, dtype=np.float32)


def normalised(setting: Setting, pixels: Pixels, size: int) -> Iterator[Tensor]:
    """Pictures as networks take them, in batches of ``size`` on the CPU."""
    every = np.arange(len(pixels))
    for x, _ in ordered_batches(pixels, every, every, size, setting.normalisation, "cpu"):
        yield x


def pixels_of(setting: Setting, part: str, rows: Indices) -> Pixels:
    """The pictures as the network's side has them (larger ones cropped), uint8 ``[n, side, side, channels]``."""
    images = getattr(setting.pictures, part).images
    pixels: Pixels = PixelStore(images).plain(rows).numpy()
    return pixels
