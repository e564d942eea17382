"""Batches are functions of seed and step: the same after a restart, in any order, prefetched, and over any ranks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sartor.data import Augmentation, BatchStream, Normalisation, PixelStore, ordered_batches
from sartor.data import pixels as pixels_module
from sartor.errors import RequestError

COUNT = 103
IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, 8, 8, 3), dtype=np.uint8)
# The label is the row, so that a batch shows which pictures it holds.
LABELS = np.arange(COUNT)
NORM = Normalisation.of(IMAGES)
AUG = Augmentation(pad=2, flip=True, cutout=3)


def make_stream(**changes: Any) -> BatchStream:
    settings: dict[str, Any] = {
        "images": IMAGES,
        "labels": LABELS,
        "indices": np.arange(3, COUNT),
        "batch_size": 16,
        "augmentation": AUG,
        "normalisation": NORM,
        "seed": 7,
    }
    return BatchStream(**{**settings, **changes})


def same(a: tuple[torch.Tensor, torch.Tensor], b: tuple[torch.Tensor, torch.Tensor]) -> bool:
    return torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])


def test_shapes_and_layout() -> None:
    """Batches are float [B, C, S, S], channels last in memory, labels int64."""
    x, y = make_stream().batch(0)
    assert x.shape == (16, 3, 8, 8)
    assert x.dtype == torch.float32
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert y.dtype == torch.int64
    assert make_stream(dtype=torch.float64).batch(0)[0].dtype == torch.float64


def test_epochs_cover_the_indices_once() -> None:
    """An epoch holds 6 full batches of 16 different pictures out of 100, in another order each epoch."""
    stream = make_stream()
    assert stream.steps_per_epoch == 6
    epochs = [torch.cat([stream.batch(6 * e + s)[1] for s in range(6)]).tolist() for e in range(2)]
    for rows in epochs:
        assert len(set(rows)) == 96
        assert set(rows) <= set(range(3, COUNT))
    assert epochs[0] != epochs[1]


def test_a_resumed_run_sees_the_same_batches() -> None:
    """A new stream asked from step 9 on, and steps asked in any order, give what an undisturbed stream gives."""
    first = make_stream()
    undisturbed = [first.batch(step) for step in range(20)]
    resumed = make_stream()
    for step in [*range(9, 20), 3, 15, 0]:
        assert same(resumed.batch(step), undisturbed[step])


def test_seeds_and_steps_differ() -> None:
    """Another seed gives other pictures; the same picture is augmented anew in the next epoch."""
    assert not same(make_stream().batch(0), make_stream(seed=8).batch(0))
    stream = make_stream(indices=np.array([5]), augmentation=Augmentation(pad=2))
    assert len({stream.batch(step)[0].sum().item() for step in range(40)}) > 15


def test_without_augmentation_pictures_are_normalised_only() -> None:
    """A batch without augmentation is (x / 255 - mean) / std of exactly its pictures."""
    x, y = make_stream(augmentation=Augmentation()).batch(2)
    expected = (IMAGES[y.numpy()] / 255 - np.array(NORM.mean)) / np.array(NORM.std)
    assert np.allclose(x.permute(0, 2, 3, 1).numpy(), expected, atol=1e-5)


def test_augmented_batch_against_the_parts() -> None:
    """Each augmented picture is one of the crops of its padded original, mirrored or not (no cutout)."""
    x, y = make_stream(augmentation=Augmentation(pad=1, flip=True)).batch(0)
    scale, shift = NORM.scale, NORM.shift
    for picture, row in zip(x.permute(0, 2, 3, 1).numpy(), y.tolist(), strict=True):
        padded = np.pad(IMAGES[row], ((1, 1), (1, 1), (0, 0)))
        crops = [padded[t : t + 8, q : q + 8] for t in range(3) for q in range(3)]
        views = [v * scale + shift for crop in crops for v in (crop, crop[:, ::-1])]
        assert min(float(np.abs(picture - view).max()) for view in views) < 1e-5


@pytest.mark.parametrize("world_size", [2, 3, 16])
def test_ranks_share_the_batch(world_size: int) -> None:
    """The slices of all ranks, joined, are the batch of a single process, augmentation included."""
    parts = [make_stream(rank=rank, world_size=world_size).batch(4) for rank in range(world_size)]
    joined = (torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts]))
    assert same(joined, make_stream().batch(4))
    sizes = {len(y) for _, y in parts}
    assert max(sizes) - min(sizes) <= 1


def test_prefetch_changes_nothing() -> None:
    """Batches made ahead by a thread are the same, also after a jump."""
    plain = make_stream()
    with make_stream(prefetch=3) as ahead:
        for step in [0, 1, 2, 3, 9, 10, 2]:
            assert same(ahead.batch(step), plain.batch(step))


def test_prefetch_hands_errors_on() -> None:
    """An error in the background thread reaches the caller."""
    with make_stream(prefetch=1) as ahead, pytest.raises(ValueError, match="steps count from 0"):
        ahead.batch(-2)


def test_a_small_set_is_one_batch() -> None:
    """Fewer pictures than the batch size: each step is the whole set."""
    stream = make_stream(indices=np.array([4, 8, 15]), batch_size=64)
    assert (stream.batch_size, stream.steps_per_epoch) == (3, 1)
    assert sorted(stream.batch(5)[1].tolist()) == [4, 8, 15]


def test_streams_share_a_store() -> None:
    """Two streams on one store give the batches that they give on their own."""
    store = PixelStore(IMAGES)
    assert same(make_stream(images=store).batch(1), make_stream().batch(1))
    assert store.pixels is not None
    assert store.pixels.data_ptr() == IMAGES.ctypes.data


def test_memory_maps_are_not_copied(tmp_path: Any) -> None:
    """A read-only memory map serves as it is, without a warning."""
    np.save(tmp_path / "x.npy", IMAGES)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert same(make_stream(images=mapped).batch(1), make_stream().batch(1))


def test_resized_crop_of_an_array() -> None:
    """Random resized crop works on arrays too, and is reproducible."""
    settings = {"augmentation": Augmentation(resized_crop=(0.3, 1.0), flip=True)}
    assert same(make_stream(**settings).batch(3), make_stream(**settings).batch(3))
    assert not same(make_stream(**settings).batch(3), make_stream(augmentation=Augmentation()).batch(3))


def test_memory_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU pixels are kept there up to a quarter of its free memory; the CPU always keeps them."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 4000))
    assert pixels_module.fits_on_device(250, torch.device("cuda"))
    assert not pixels_module.fits_on_device(251, torch.device("cuda"))
    assert pixels_module.fits_on_device(10**15, torch.device("cpu"))


def test_ordered_batches() -> None:
    """Evaluation sees each picture once, in the order asked, the last batch smaller."""
    indices = np.array([9, 3, 77, 50, 21])
    batches = list(ordered_batches(IMAGES, LABELS, indices, 2, NORM))
    assert [len(y) for _, y in batches] == [2, 2, 1]
    assert torch.cat([y for _, y in batches]).tolist() == indices.tolist()
    expected = IMAGES[indices] * NORM.scale + NORM.shift
    assert np.allclose(torch.cat([x for x, _ in batches]).permute(0, 2, 3, 1).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"indices": np.zeros(0, np.int64)}, "index set is empty"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"batch_size": 2, "rank": 0, "world_size": 3}, "cannot be shared by 3 processes"),
    ],
)
def test_wrong_requests_are_refused(changes: dict[str, Any], message: str) -> None:
    """Streams that could not give a batch say so at once."""
    with pytest.raises(RequestError, match=message):
        make_stream(**changes)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_equals_cpu() -> None:
    """The same code path on a GPU gives the same batches, kept there or on the host."""
    gpu = make_stream(device="cuda")
    host = PixelStore(IMAGES, "cuda")
    host.pixels = torch.from_numpy(IMAGES)
    expected = make_stream().batch(3)
    for stream in (gpu, make_stream(images=host)):
        x, y = stream.batch(3)
        assert x.is_cuda
        assert torch.allclose(x.cpu(), expected[0], atol=1e-6)
        assert torch.equal(y.cpu(), expected[1])
