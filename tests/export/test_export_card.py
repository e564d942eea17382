"""The model card: JSON and metadata, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from sartor.errors import RequestError
from sartor.export import ModelCard


def colour_card(**changes: Any) -> ModelCard:
    fields: dict[str, Any] = {
        "name": "phone",
        "mean": [0.5, 0.4, 0.3],
        "std": [0.2, 0.2, 0.2],
        "image_size": 32,
        "colour_order": "RGB",
        "class_names": ["a", "b"],
    }
    return ModelCard(**(fields | changes))


def test_the_card_survives_json(card: ModelCard) -> None:
    """Every field comes back equal through JSON text, tuples included."""
    assert ModelCard.from_dict(json.loads(json.dumps(card.to_dict()))) == card


def test_the_card_survives_metadata(card: ModelCard) -> None:
    """Every field is one ``sartor.`` key, and the keys alone rebuild the card."""
    metadata = card.to_metadata()
    assert {key.removeprefix("sartor.") for key in metadata} == {
        *(f.name for f in dataclasses.fields(ModelCard)),
        "channels",
    }
    assert json.loads(metadata["sartor.class_names"])[3] == "digit 3"
    assert ModelCard.from_metadata(metadata | {"someone.else": "not json"}, "file") == card


def test_channels_and_resizing_follow_from_the_fields() -> None:
    """Colour order gives the channels; without a resize size the shorter side is the image size."""
    assert colour_card().input_shape == (3, 32, 32)
    assert colour_card().shorter_side == 32
    assert colour_card(resize_size=36).shorter_side == 36


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mean": [0.5]}, "mean has 1 values for 3 channels"),
        ({"std": [0.2, 0.0, 0.2]}, "std must be positive"),
        ({"colour_order": "BGR"}, "'RGB' and 'grey'"),
        ({"resize_size": 31}, "smaller than image_size"),
        ({"resize_filter": "lanczos"}, "lanczos"),
        ({"class_names": []}, "class_names is empty"),
        ({"image_size": 0}, "at least 1 pixel"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], words: str) -> None:
    """A card that contradicts itself is refused when it is made, with the reason."""
    with pytest.raises(RequestError, match=words):
        colour_card(**changes)


def test_a_newer_format_is_refused(card: ModelCard) -> None:
    """A card of another format version is not guessed at."""
    with pytest.raises(RequestError, match="format_version 2"):
        ModelCard.from_dict(card.to_dict() | {"format_version": 2})


def test_missing_and_broken_entries_are_named(card: ModelCard) -> None:
    """A card without a needed field names it; a value that is no JSON names the file."""
    data = card.to_dict()
    del data["mean"]
    with pytest.raises(RequestError, match="lacks mean"):
        ModelCard.from_dict(data)
    with pytest.raises(RequestError, match=r"net\.onnx"):
        ModelCard.from_metadata(card.to_metadata() | {"sartor.std": "{"}, "net.onnx")
    with pytest.raises(RequestError, match="wrong kind"):
        ModelCard.from_dict(card.to_dict() | {"std": ["wide"]})
