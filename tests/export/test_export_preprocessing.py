"""From raw pictures to network inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sartor.errors import RequestError
from sartor.export import ModelCard, load_picture, preprocess


@pytest.fixture
def colour_card() -> ModelCard:
    return ModelCard(
        name="c",
        mean=(0.1, 0.2, 0.3),
        std=(0.5, 0.25, 0.125),
        image_size=4,
        colour_order="RGB",
        class_names=("a",),
    )


@pytest.fixture
def grey_card() -> ModelCard:
    return ModelCard(name="g", mean=(0.0,), std=(1.0,), image_size=4, colour_order="grey", class_names=("a",))


@pytest.fixture
def pixels() -> NDArray[np.uint8]:
    """Random colour pictures, ``[3, 4, 4, 3]``."""
    return np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3), dtype=np.uint8)


def test_normalisation_is_per_channel(colour_card: ModelCard, pixels: NDArray[np.uint8]) -> None:
    """(pixel / 255 - mean) / std with each channel's own numbers, channels first, float32."""
    out = preprocess(pixels, colour_card)
    assert out.shape == (3, 3, 4, 4)
    assert out.dtype == np.float32
    assert out.flags.c_contiguous
    expected = (pixels[1, 2, 3, 2] / 255 - 0.3) / 0.125
    assert out[1, 2, 2, 3] == pytest.approx(expected, abs=1e-6)


def test_files_and_arrays_agree(colour_card: ModelCard, pixels: NDArray[np.uint8], tmp_path: Path) -> None:
    """A lossless picture file gives exactly the input of its pixels."""
    files = [tmp_path / f"{i}.png" for i in range(3)]
    for file, picture in zip(files, pixels, strict=True):
        Image.fromarray(picture).save(file)
    np.testing.assert_array_equal(preprocess(files, colour_card), preprocess(pixels, colour_card))


def test_grey_from_colour_equals_pillow(grey_card: ModelCard) -> None:
    """Colour arrays turn grey with the very integers of pillow, so that arrays and files agree."""
    pixels = np.random.default_rng(1).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    pillow = np.asarray(Image.fromarray(pixels[0]).convert("L"))
    card = ModelCard.from_dict(grey_card.to_dict() | {"image_size": 64})
    np.testing.assert_array_equal(np.round(preprocess(pixels, card)[0, 0] * 255).astype(int), pillow)


def test_colour_from_grey_repeats_the_channel(colour_card: ModelCard, tmp_path: Path) -> None:
    """A grey array or file feeds all three channels of a colour network."""
    grey = np.arange(16, dtype=np.uint8).reshape(1, 4, 4) * 16
    Image.fromarray(grey[0]).save(tmp_path / "grey.png")
    from_array = preprocess(grey, colour_card)
    np.testing.assert_array_equal(from_array, preprocess([tmp_path / "grey.png"], colour_card))
    np.testing.assert_allclose(from_array[0, 0] * 0.5 + 0.1, from_array[0, 2] * 0.125 + 0.3, atol=1e-6)


def test_other_sizes_are_resized_and_centred(grey_card: ModelCard, tmp_path: Path) -> None:
    """A picture twice as high and four times as wide keeps its proportions; the middle is taken."""
    wide = np.zeros((1, 8, 16, 1), dtype=np.uint8)
    wide[:, :, 4:12] = 200  # exactly the middle half
    Image.fromarray(wide[0, :, :, 0]).save(tmp_path / "wide.png")
    out = preprocess(wide, grey_card)
    assert out.shape == (1, 1, 4, 4)
    np.testing.assert_allclose(out, 200 / 255, atol=1e-6)
    np.testing.assert_array_equal(preprocess([tmp_path / "wide.png"], grey_card), out)


def test_the_shorter_side_of_the_card_counts(grey_card: ModelCard) -> None:
    """With a resize size above the image size the border is cut away after resizing."""
    card = ModelCard.from_dict(grey_card.to_dict() | {"resize_size": 8})
    framed = np.full((1, 16, 16), 255, dtype=np.uint8)
    framed[:, 4:12, 4:12] = 0  # the middle half survives: resized to 8, the middle 4 taken
    assert preprocess(framed, card).max() == 0


def test_orientation_tags_are_obeyed(grey_card: ModelCard, tmp_path: Path) -> None:
    """A photograph taken sideways is turned upright."""
    picture = Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to view
    picture.save(tmp_path / "sideways.png", exif=exif)
    np.testing.assert_array_equal(
        load_picture(tmp_path / "sideways.png", grey_card)[:, :, 0], np.rot90(np.asarray(picture), -1)
    )


def test_unreadable_pictures_are_named(grey_card: ModelCard, tmp_path: Path) -> None:
    """Missing, truncated and foreign files each stop with an error that names the file."""
    whole = tmp_path / "whole.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)).save(whole)
    (tmp_path / "truncated.png").write_bytes(whole.read_bytes()[:900])
    (tmp_path / "text.png").write_text("not a picture")
    for name in ("absent.png", "truncated.png", "text.png"):
        with pytest.raises(RequestError, match=name):
            preprocess([whole, tmp_path / name], grey_card)


def test_wrong_arrays_are_refused(colour_card: ModelCard) -> None:
    """Floats, channels first, and a path in place of a list are said to be wrong."""
    with pytest.raises(RequestError, match="uint8"):
        preprocess(np.zeros((1, 4, 4, 3)), colour_card)  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="shape"):
        preprocess(np.zeros((1, 3, 4, 4), dtype=np.uint8), colour_card)
    with pytest.raises(RequestError, match="list of files"):
        preprocess("one.png", colour_card)


def test_no_pictures_give_an_empty_input(colour_card: ModelCard) -> None:
    """Nothing in, nothing out, in the right shape."""
    assert preprocess([], colour_card).shape == (0, 3, 4, 4)
    assert preprocess(np.zeros((0, 9, 9, 3), dtype=np.uint8), colour_card).shape == (0, 3, 4, 4)
