"""What an exported file sees in pictures: the work behind ``sartor predict``. Needs no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sartor.errors import RequestError
from sartor.export.preprocessing import Float32, PictureFile, preprocess
from sartor.export.session import open_session, read_card, run_session

_BATCH = 64


@dataclass(frozen=True)
class ClassScore:
    """One class of a prediction; ``probability`` is the softmax of the logits."""

    name: str
    index: int
    probability: float
    logit: float


@dataclass(frozen=True)
class Prediction:
    """The likeliest classes of one picture, best first."""

    picture: str
    classes: tuple[ClassScore, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return {"picture": self.picture, "classes": [dataclasses.asdict(score) for score in self.classes]}


def predict(path: str | Path, picture_files: Sequence[PictureFile], top: int = 5) -> list[Prediction]:
    """The ``top`` likeliest classes of every picture (fewer where the network knows fewer), in order.

    Raises:
        RequestError: ``path`` is missing, no ONNX file or has no model card; a picture is missing or cannot
            be read; ``top`` is below 1.
        MissingDependencyError: onnxruntime is not installed.
    """
    if top < 1:
        raise RequestError(f"The number of classes to show must be at least 1, got {top}.")
    session = open_session(path)
    card = read_card(session, path)
    predictions: list[Prediction] = []
    for low in range(0, len(picture_files), _BATCH):
        files = picture_files[low : low + _BATCH]
        logits = run_session(session, preprocess(files, card))
        if logits.shape[1] != len(card.class_names):
            raise RequestError(
                f"{path} gives {logits.shape[1]} logits but its model card names {len(card.class_names)} "
                "classes. Export the network again."
            )
        predictions += [
            Prediction(str(file), _best(row, card.class_names, top)) for file, row in zip(files, logits, strict=True)
        ]
    return predictions


def _best(logits: Float32, names: Sequence[str], top: int) -> tuple[ClassScore, ...]:
    """The ``top`` classes of one row of logits ``[classes]``; equal logits stay in class order."""
    shifted = np.exp(logits.astype(np.float64) - logits.max())
    probabilities = shifted / shifted.sum()
    order = np.argsort(-logits, kind="stable")[:top]
    return tuple(ClassScore(names[i], int(i), float(probabilities[i]), float(logits[i])) for i in order)
