"""Files to ship: one ONNX file per platform, proved to agree, and the slimmable network as one file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sartor.data import ImageSet, PixelStore, RaggedImages, ordered_batches
from sartor.data.decode import resize_side
from sartor.data.images import Indices
from sartor.elastic.slimmable import SlimmableNetwork
from sartor.errors import VerificationError
from sartor.export import ModelCard, export_onnx, verify
from sartor.pipeline.setting import Setting
from sartor.seeds import numpy_generator

# Shared weights run the same arithmetic as the extracted network; only the order of summation may differ.
_SHARED_TOLERANCE = 1e-4


def model_card(
    setting: Setting,
    name: str,
    budgets: Mapping[str, float],
    costs: Mapping[str, float],
    architecture: Mapping[str, Any],
) -> ModelCard:
    """What travels in the metadata of a platform's file."""
    train = setting.pictures.train
    return ModelCard(
        name=name,
        mean=setting.normalisation.mean,
        std=setting.normalisation.std,
        image_size=train.image_size,
        colour_order="RGB" if train.channels == 3 else "grey",
        class_names=train.class_names,
        resize_size=resize_side(train.image_size) if isinstance(train.images, RaggedImages) else None,
        budgets=dict(budgets),
        costs=dict(costs),
        architecture=dict(architecture),
        space=setting.space.name,
    )


def export_network(
    setting: Setting, network: nn.Module, card: ModelCard, path: Path, *, pictures: int, repeats: int
) -> dict[str, Any]:
    """Writes one ONNX file and proves it on real pictures in a fresh process.

    Raises:
        VerificationError: the file disagrees with the network; with the reason.
    """
    export_onnx(network, card, path)
    source, chosen = verification_pictures(setting, pictures)
    logits = _reference_logits(setting, network, source, chosen)
    proof = verify(path, _raw(source, chosen), logits, repeats=repeats)
    low, high = proof.latency_spread_ms
    return {
        "onnx_max_abs_diff": proof.max_abs_diff,
        "onnx_top1_agreement": proof.top1_agreement,
        "onnx_bytes": proof.file_bytes,
        "onnx_params": proof.params,
        "latency_ms": proof.latency_ms,
        "latency_spread_ms": high - low,
    }


def verification_pictures(setting: Setting, count: int) -> tuple[ImageSet, Indices]:
    """Pictures on which files are checked: from the selection set, or from the test or training pictures."""
    sets, pictures = setting.index_sets, setting.pictures
    if len(sets.selection):
        source, rows = pictures.train, sets.selection
    elif pictures.test is not None and len(sets.test):
        source, rows = pictures.test, sets.test
    else:
        source, rows = pictures.train, sets.weights
    return source, np.sort(numpy_generator(setting.seed, "verification").permutation(rows)[:count])


def check_shared(setting: Setting, shared: SlimmableNetwork, networks: Mapping[str, nn.Module], count: int) -> float:
    """The largest difference of a logit between the slimmable network and the single ones, all on the CPU.

    Raises:
        VerificationError: it is more than rounding.
    """
    source, chosen = verification_pictures(setting, count)
    batches = ordered_batches(source.images, source.labels, chosen, len(chosen), setting.normalisation, "cpu")
    x, _ = next(iter(batches))
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


def _reference_logits(setting: Setting, network: nn.Module, source: ImageSet, chosen: Indices) -> NDArray[np.float32]:
    """Float32 logits on the CPU, from the code that prepares training pictures."""
    device = next(network.parameters()).device
    network.cpu().eval()
    with torch.no_grad():
        batches = ordered_batches(source.images, source.labels, chosen, 128, setting.normalisation, "cpu")
        logits = torch.cat([network(x) for x, _ in batches]).numpy()
    network.to(device)
    return np.asarray(logits, dtype=np.float32)


def _raw(source: ImageSet, chosen: Indices) -> NDArray[np.uint8]:
    """The pictures as the network's side has them (larger ones cropped), uint8 ``[n, side, side, channels]``."""
    pixels: NDArray[np.uint8] = PixelStore(source.images).plain(chosen).numpy()
    return pixels
