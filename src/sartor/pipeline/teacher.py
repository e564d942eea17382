"""The teacher of a final training, from a file or a name to something that answers the pupil's pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sartor.data import ImageSet, Normalisation
from sartor.errors import RequestError
from sartor.export.card import PREFIX
from sartor.export.session import open_session, read_card
from sartor.pipeline.network_file import fill, read_network, read_tensors
from sartor.runtime import Runtime
from sartor.spaces.references import reference
from sartor.train.settings import FinalTraining, names_file
from sartor.train.teacher import Outputs


@dataclass(frozen=True)
class _Found:
    """A teacher as its file has it; what the file does not say is None."""

    outputs: Outputs
    num_classes: int | None
    channels: int | None
    image_size: int | None
    class_names: tuple[str, ...] | None = None
    normalisation: Normalisation | None = None


def load_teacher(
    settings: FinalTraining, pictures: ImageSet, normalisation: Normalisation, runtime: Runtime
) -> Outputs | None:
    """The teacher that the settings name, for pictures as a batch of the training holds them; None if they name none.

    Raises:
        RequestError: the file is missing, damaged or of another kind, or the teacher is for other pictures or classes.
        MissingDependencyError: an ONNX file, and onnxruntime is not installed.
    """
    if settings.teacher is None:
        return None
    try:
        found = _find(settings, settings.teacher, pictures, runtime)
        _check(found, pictures)
        _try(found.outputs, pictures, runtime)
        theirs = _normalisation(found, settings, pictures.channels)
    except RequestError as error:
        where = "" if settings.teacher in str(error) else f"{settings.teacher}: "
        raise type(error)(f"train.teacher: {where}{error}") from error
    return found.outputs if theirs == normalisation else renormalised(found.outputs, normalisation, theirs)


def renormalised(outputs: Outputs, ours: Normalisation, theirs: Normalisation) -> Outputs:
    """``outputs``, which were learnt from pictures normalised as ``theirs``, for pictures normalised as ``ours``."""
    scale = torch.tensor([a / b for a, b in zip(ours.std, theirs.std, strict=True)]).view(-1, 1, 1)
    means = zip(ours.mean, theirs.mean, theirs.std, strict=True)
    shift = torch.tensor([(a - b) / std for a, b, std in means]).view(-1, 1, 1)

    def answer(x: Tensor) -> Any:
        return outputs(torch.addcmul(shift.to(x), x, scale.to(x)))

    return answer


def _find(settings: FinalTraining, teacher: str, pictures: ImageSet, runtime: Runtime) -> _Found:
    if not names_file(teacher):
        return _from_reference(teacher, settings.teacher_file, pictures, runtime)
    path = Path(teacher)
    return _from_onnx(path) if path.suffix == ".onnx" else _from_weights(path, runtime)


def _from_weights(path: Path, runtime: Runtime) -> _Found:
    network, card = read_network(path)
    b = card.blueprint
    outputs = _placed(network, runtime)
    return _Found(outputs, b.num_classes, b.in_channels, b.image_size, card.class_names, card.normalisation)


def _from_reference(name: str, weights: Path | None, pictures: ImageSet, runtime: Runtime) -> _Found:
    if weights is None:
        raise RequestError("a named network brings no weights; give a .safetensors file of them as train.teacher_file")
    blueprint = reference(name, num_classes=pictures.num_classes, image_size=pictures.image_size)
    tensors, _ = read_tensors(weights)
    outputs = _placed(fill(blueprint.build(), tensors, weights), runtime)
    return _Found(outputs, blueprint.num_classes, blueprint.in_channels, blueprint.image_size)


def _placed(network: nn.Module, runtime: Runtime) -> nn.Module:
    return runtime.place(network.float().eval().requires_grad_(False))


def _from_onnx(path: Path) -> _Found:
    """A network that onnxruntime runs on the CPU, on as many threads as torch uses."""
    session = open_session(path, threads=torch.get_num_threads())
    inputs, results = session.get_inputs(), session.get_outputs()
    shape = inputs[0].shape
    if len(inputs) != 1 or len(results) != 1 or len(shape) != 4 or inputs[0].type != "tensor(float)":
        raise RequestError("it must turn one float32 input [batch, channels, side, side] into one output of logits")
    if isinstance(shape[0], int):
        raise RequestError(f"its batches have {shape[0]} picture(s), always; export it with a batch of any size")
    names = ([results[0].name], inputs[0].name)

    def outputs(x: Tensor) -> Tensor:
        pixels = np.ascontiguousarray(x.detach().float().cpu().numpy())
        return torch.from_numpy(session.run(names[0], {names[1]: pixels})[0]).to(x.device)

    if any(key.startswith(PREFIX) for key in session.get_modelmeta().custom_metadata_map):
        card = read_card(session, path)
        normalisation = Normalisation(card.mean, card.std)
        return _Found(outputs, len(card.class_names), card.channels, card.image_size, card.class_names, normalisation)
    answer = results[0].shape or []
    return _Found(outputs, _stated(answer[1]) if len(answer) == 2 else None, _stated(shape[1]), _stated(shape[2]))


def _stated(size: Any) -> int | None:
    """A size in an ONNX file; those it leaves open have a name there, or none."""
    return size if isinstance(size, int) else None


def _check(found: _Found, pictures: ImageSet) -> None:
    """Refuses a teacher of other pictures or other classes than the pupil's."""
    ours = {"channels": pictures.channels, "image_size": pictures.image_size, "num_classes": pictures.num_classes}
    for name, value in ours.items():
        theirs = getattr(found, name)
        if theirs not in (None, value):
            raise RequestError(f"its {name} is {theirs}, but the pictures of {pictures.name!r} have {value}")
    if found.class_names is not None and found.class_names != pictures.class_names:
        i = next(i for i, (a, b) in enumerate(zip(found.class_names, pictures.class_names, strict=True)) if a != b)
        raise RequestError(
            f"its class {i} is {found.class_names[i]!r}, but that of the pictures is {pictures.class_names[i]!r}; "
            "train it on the same classes in the same order"
        )


@torch.no_grad()
def _try(outputs: Outputs, pictures: ImageSet, runtime: Runtime) -> None:
    """Shows two blank pictures to a teacher and refuses it if it does not answer with logits of the classes."""
    side = pictures.image_size
    blank = torch.zeros(2, pictures.channels, side, side, device=runtime.device)
    try:
        answer = outputs(blank)
    except Exception as error:  # onnxruntime has one exception class per status code and no common base.
        raise RequestError(f"it does not take pictures of shape {list(blank.shape[1:])} ({error})") from error
    expected = [2, pictures.num_classes]
    for logits in answer if isinstance(answer, tuple) else (answer,):
        if list(logits.shape) != expected:
            raise RequestError(f"it answers two pictures with a result of shape {list(logits.shape)}, not {expected}")


def _normalisation(found: _Found, settings: FinalTraining, channels: int) -> Normalisation:
    """How the teacher's pictures were normalised: as its file says, or else as the job says."""
    given = (settings.teacher_mean, settings.teacher_std)
    if found.normalisation is not None:
        if given != (None, None):
            raise RequestError("its file says how its pictures were normalised; leave out teacher_mean and teacher_std")
        return found.normalisation
    mean, std = (_per_channel(values, channels) for values in given)
    return Normalisation(mean, std)


def _per_channel(values: Sequence[float] | None, channels: int) -> tuple[float, ...]:
    if values is None or len(values) != channels:
        raise RequestError(
            "nothing says how its pictures were normalised; give train.teacher_mean and train.teacher_std, "
            f"{channels} number(s) each, of pictures of values 0 to 1"
        )
    return tuple(values)
