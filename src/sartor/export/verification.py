"""Proof that an exported file does what the network did, from raw pictures on, in a fresh process."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import sartor.export
from sartor.errors import RequestError, VerificationError
from sartor.export.preprocessing import RawPictures
from sartor.optional import require

Float64 = NDArray[np.float64]

# Of max(1, largest logit of the picture). Float32 in another order of summation gives about 1e-6.
TOLERANCE = 1e-3
# Two classes closer than this (same scale) are a tie: rounding alone may swap them.
TIE = 1e-4
_LAST_LINES = 8


@dataclass(frozen=True)
class Verification:
    """What the check of one exported file found.

    ``top1_agreement`` is the share of pictures with the same first class, a tie counting as the same.
    ``params`` counts the file (``count_parameters``): after folding batch normalisations it is smaller than
    the network's number. ``latency_ms`` is the median thread CPU time at batch 1 on one thread of onnxruntime
    and ``latency_spread_ms`` its 10th and 90th percentile over ``latency_repeats`` repeats.
    """

    max_abs_diff: float
    top1_agreement: float
    pictures: int
    params: int
    file_bytes: int
    latency_ms: float
    latency_spread_ms: tuple[float, float]
    latency_repeats: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return dataclasses.asdict(self) | {"latency_spread_ms": list(self.latency_spread_ms)}


def verify(
    path: str | Path,
    pictures: RawPictures,
    reference_logits: ArrayLike,
    *,
    tolerance: float = TOLERANCE,
    repeats: int = 50,
    timeout_seconds: float = 600.0,
) -> Verification:
    """Reloads ``path`` in a process without torch and compares it with the network it came from.

    Args:
        path: a file written by ``export_onnx``; its model card alone says how pictures are prepared.
        pictures: raw uint8 pictures ``[n, H, W, channels]`` or ``n`` picture files.
        reference_logits: ``[n, classes]``, from the PyTorch network in evaluation mode, in float32 on the
            CPU, on the same pictures as prepared by the code that trained it.
        tolerance: allowed difference of a logit, times ``max(1, largest logit of the picture)``.
        repeats: timed runs for the latency.

    Raises:
        VerificationError: logits or first classes disagree, the size is implausible, the batch is not
            dynamic, or the file cannot be run; with figures and the likely reason.
        RequestError: the file or a picture does not exist or cannot be read.
        MissingDependencyError: onnxruntime or onnx is not installed.
    """
    path = Path(path).resolve()
    if not path.is_file():
        raise RequestError(f"The ONNX file {path} does not exist. Export the network first.")
    reference = np.asarray(reference_logits, dtype=np.float64)
    if reference.ndim != 2 or len(reference) != len(pictures) or len(reference) == 0:
        raise RequestError(
            f"Verifying {path.name} needs one row of reference logits per picture and at least one picture; "
            f"got logits of shape {list(reference.shape)} for {len(pictures)} pictures."
        )
    answer, logits = ask_worker(path, pictures, repeats, timeout_seconds)
    check_plausible(path, answer, reference, tolerance)
    max_abs_diff, agreement = compare_logits(path, reference, logits.astype(np.float64), tolerance)
    return Verification(
        max_abs_diff=max_abs_diff,
        top1_agreement=agreement,
        pictures=len(reference),
        params=answer["params"],
        file_bytes=answer["file_bytes"],
        latency_ms=answer["latency_ms"],
        latency_spread_ms=(answer["latency_spread_ms"][0], answer["latency_spread_ms"][1]),
        latency_repeats=answer["latency_repeats"],
    )


def check_plausible(source: object, answer: Mapping[str, Any], reference: Float64, tolerance: float) -> None:
    """Refuses files of a wrong size, or of a fixed batch, by a worker's ``answer``.

    Raises:
        VerificationError: naming ``source``.
    """
    if answer["size_problem"]:
        raise VerificationError(f"What was exported to {source} is not plausible: {answer['size_problem']}.")
    if answer["single_diff"] > tolerance * max(1.0, float(np.abs(reference).max())):
        raise VerificationError(
            f"What was exported to {source} gives other logits for single pictures than for a batch (difference "
            f"{answer['single_diff']:.3g}); its batch is not dynamic. Export with another exporter."
        )


def compare_logits(
    source: object, reference: Float64, logits: Float64, tolerance: float = TOLERANCE
) -> tuple[float, float]:
    """The largest difference and the top-1 agreement of two arrays ``[n, classes]``.

    Raises:
        VerificationError: they disagree; ``source`` names the file.
    """
    if logits.shape != reference.shape:
        raise VerificationError(
            f"The exported file {source} gives logits of shape {list(logits.shape)}, the network "
            f"{list(reference.shape)}: another network was exported."
        )
    if not (np.isfinite(logits).all() and np.isfinite(reference).all()):
        bad = source if np.isfinite(reference).all() else "the network itself"
        raise VerificationError(f"Checking {source}: {bad} gives logits that are not finite (NaN or infinity).")
    scale = np.maximum(1.0, np.abs(reference).max(axis=1))  # [n]
    diff = np.abs(logits - reference).max(axis=1)  # [n]
    rows = np.arange(len(reference))
    gap = reference.max(axis=1) - reference[rows, logits.argmax(axis=1)]  # [n], 0 where the first class agrees
    agreement = float((gap <= TIE * scale).mean())
    if (diff > tolerance * scale).any() or agreement < 1.0:
        raise VerificationError(
            f"The exported file {source} disagrees with the network it came from: largest difference of a "
            f"logit {diff.max():.3g} where {tolerance * scale[diff.argmax()]:.3g} is allowed, same first "
            f"class for {agreement:.1%} of {len(reference)} pictures. Likely reason: "
            f"{_likely_reason(reference, logits)}."
        )
    return float(diff.max()), agreement


def _likely_reason(reference: Float64, logits: Float64) -> str:
    """What usually stands behind a disagreement of this form."""
    centred = [a - a.mean(axis=1, keepdims=True) for a in (reference, logits)]
    norms = np.linalg.norm(centred[0]) * np.linalg.norm(centred[1])
    correlation = float((centred[0] * centred[1]).sum() / norms) if norms > 0 else 0.0
    if correlation > 0.999:
        return (
            f"lost precision (correlation {correlation:.5f}); the reference was not computed in float32 on "
            "the CPU, or the file holds weights of a smaller type"
        )
    if correlation > 0.5:
        return (
            f"other preprocessing or slightly other weights (correlation {correlation:.3f}); mean, std, "
            "colour order or resizing of the card differ from training, or the network was changed after "
            "the export"
        )
    return (
        f"other weights (correlation {correlation:.3f}); the file belongs to another network, or its batch "
        "normalisation was calibrated after the export"
    )


def ask_worker(
    path: Path,
    pictures: RawPictures,
    repeats: int,
    timeout_seconds: float,
    worker: str = "sartor.export.worker",
) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """Runs a worker in a folder of its own; its answer and the logits it computed.

    Raises:
        VerificationError: what was exported cannot be used, or the worker crashed or hung.
        RequestError: the pictures cannot be read.
        MissingDependencyError: onnxruntime or onnx is not installed.
    """
    for package in ("onnxruntime", "onnx"):  # Said here, a missing package is the user's request and no bad file.
        require(package, extra="export")
    with tempfile.TemporaryDirectory(prefix="sartor-verify-") as name:
        folder = Path(name)
        files = None
        if isinstance(pictures, np.ndarray):
            np.save(folder / "pictures.npy", pictures)
        else:
            files = [str(Path(p).resolve()) for p in pictures]
        request = {"path": str(path), "pictures": files, "repeats": repeats}
        (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        _run_worker(worker, path, folder, timeout_seconds)
        answer: dict[str, Any] = json.loads((folder / "answer.json").read_text(encoding="utf-8"))
        if "error" not in answer:
            return answer, np.load(folder / "logits.npy", allow_pickle=False)
    if answer["stage"] == "file":
        raise VerificationError(f"The exported file cannot be used: {answer['error']}")
    raise RequestError(f"{path.name} could not be checked: {answer['error']}")


def _run_worker(worker: str, path: Path, folder: Path, timeout_seconds: float) -> None:
    """Starts a worker and waits; a crash or a hang becomes an error with its last lines."""
    package_root = str(Path(sartor.export.__file__).parents[2])
    inherited = os.environ.get("PYTHONPATH")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [package_root, inherited]))}
    command = [sys.executable, "-m", worker, str(folder)]
    try:
        # In its own folder: `python -m` would import from the user's folder before anything else.
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout_seconds
        )
    except subprocess.TimeoutExpired as error:
        raise VerificationError(
            f"Checking {path} took longer than {timeout_seconds:g} s and was stopped. Check fewer pictures."
        ) from error
    if done.returncode != 0 or not (folder / "answer.json").is_file():
        last_lines = "\n".join((done.stdout + done.stderr).strip().splitlines()[-_LAST_LINES:])
        raise VerificationError(
            f"The process that checks {path} ended with code {done.returncode}. Its last lines:\n{last_lines}"
        )
