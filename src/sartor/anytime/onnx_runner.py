"""The runner of exported stages: a chain of ONNX files in onnxruntime, stopped like any network with exits.

Needs numpy, onnxruntime and ``running.py``; nothing of Sartor. An export puts both files beside the stages, so that a
device needs that folder alone:

    runner = OnnxRunner("anytime")
    x = runner.prepare(pictures)                                   # uint8 [1, S, S, C]
    runner.measure(x)                                              # how long each stage takes here; once
    for prediction in runner.predict(x, deadline_ms=4.0):
        print(prediction.exit, runner.class_names[prediction.labels[0]], prediction.confidence[0])

Shape legend: B pictures, C channels, S the side of a picture.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

try:
    from sartor.anytime.running import Float32, Int64, RequestError, Run, StageFacts, StageRunner
except ImportError:  # on a device, without Sartor
    from running import (  # type: ignore[import-not-found, no-redef]
        Float32,
        Int64,
        RequestError,
        Run,
        StageFacts,
        StageRunner,
    )

FORMAT_VERSION = 1
KIND = "sartor-anytime"
DESCRIPTION = "anytime.json"
PICTURES = "pictures"
LOGITS = "logits"


class OnnxRunner(StageRunner):
    """Predictions of an exported network with exits (see :meth:`StageRunner.predict` for what stops it).

    Every stage includes its head, so that also a run whose exit is known beforehand runs the heads before it; a file
    that holds just one exit is what ``sartor.export.export_onnx`` writes.

    Attributes:
        card: what the network says about itself: classes, normalisation, size of the pictures.
        exits: the costs of every exit.
        budgets: thresholds for mean costs, as :meth:`thresholds` looks them up.

    Args:
        folder: with ``anytime.json`` and the files that it names.
        threads: how many compute one operator.

    Raises:
        RequestError: onnxruntime is not installed, or a file is missing, damaged or of another version.
    """

    def __init__(self, folder: str | Path, *, threads: int = 1) -> None:
        description = _read_description(Path(folder) / DESCRIPTION)
        self.card: dict[str, Any] = description["card"]
        self.class_names = tuple(self.card["class_names"])
        self.exits: list[dict[str, Any]] = description["exits"]
        self.budgets: list[dict[str, Any]] = description["budgets"]
        self.input_shape = (self.card["channels"], self.card["image_size"], self.card["image_size"])
        stages = description["stages"]
        super().__init__([StageFacts(s["exit"], tuple(s["reads"]), tuple(s["gives"]), s["macs"]) for s in stages])
        self.sessions = [_open(Path(folder) / stage["file"], threads) for stage in stages]
        self._shapes = {name: tuple(shape) for name, shape in description["tensors"].items()}
        self._idle: list[_Buffers] = []  # of runs that are over

    def prepare(self, pictures: NDArray[Any]) -> Float32:
        """Raw pictures, uint8 ``[B, S, S, C]`` or ``[B, S, S]`` in grey, as the network takes them ``[B, C, S, S]``.

        Raises:
            RequestError: the pictures are of another type or shape.
        """
        batch = pictures[..., None] if pictures.ndim == 3 else pictures
        channels, side, _ = self.input_shape
        if batch.dtype != np.uint8 or batch.shape[1:] != (side, side, channels):
            raise RequestError(
                f"pictures: needed are uint8 of shape [B, {side}, {side}, {channels}], got {batch.dtype} of shape "
                f"{list(batch.shape)}; resize and crop them as the card says"
            )
        scaled = batch.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
        mean, std = (np.asarray(self.card[key], np.float32)[:, None, None] for key in ("mean", "std"))
        return np.ascontiguousarray((scaled - mean) / std)

    def thresholds(self, mean_macs: float) -> list[float]:
        """The thresholds of the largest solved budget within ``mean_macs`` per picture, for :meth:`classify`.

        Raises:
            RequestError: no budget within it was solved.
        """
        within = [budget for budget in self.budgets if budget["planned"] <= mean_macs]
        if not within:
            known = ", ".join(f"{budget['planned']:g}" for budget in self.budgets) or "none"
            raise RequestError(f"mean_macs: no thresholds were solved for {mean_macs:g} or less; there are {known}")
        chosen = max(within, key=lambda budget: float(budget["planned"]))
        return [math.inf if t is None else float(t) for t in chosen["thresholds"]] + [-math.inf]

    def _start(self, x: Any, plan: Sequence[StageFacts]) -> Run:
        if not isinstance(x, np.ndarray) or x.shape[1:] != self.input_shape or not len(x) or x.dtype != np.float32:
            raise RequestError(
                f"pictures: needed are float32 [B, {', '.join(map(str, self.input_shape))}] as prepare() makes them, "
                f"got {f'{x.dtype} {list(x.shape)}' if isinstance(x, np.ndarray) else type(x).__name__}"
            )
        if len(x) > 1:
            return _ArrayRun(self, x)
        buffers = self._idle.pop() if self._idle else _Buffers(self, self._shapes)
        buffers.pictures.update_inplace(np.ascontiguousarray(x))
        return _BoundRun(buffers, self._idle)


class _ArrayRun:
    """A batch of any size; every tensor handed on is a new array."""

    def __init__(self, runner: OnnxRunner, x: Float32) -> None:
        self._runner, self._alive = runner, {PICTURES: x}

    def stage(self, position: int) -> Float32:
        stages = self._runner.stages
        feed = {name: self._alive[name] for name in stages[position].reads}
        logits, *gives = self._runner.sessions[position].run([LOGITS, *stages[position].gives], feed)
        needed = {name for stage in stages[position + 1 :] for name in stage.reads}
        self._alive = {name: array for name, array in self._alive.items() if name in needed}
        self._alive.update(zip(stages[position].gives, gives, strict=True))
        return np.asarray(logits, dtype=np.float32)

    def keep(self, rows: Int64) -> None:
        self._alive = {name: array[rows] for name, array in self._alive.items()}

    def close(self) -> None:
        self._alive = {}


class _Buffers:
    """Memory for one picture, bound to the inputs and outputs of all stages, so that nothing is copied between them.

    At batch 1 a stage may take a tenth of a millisecond; handing on arrays would add a sixth to that.
    """

    def __init__(self, runner: OnnxRunner, shapes: dict[str, tuple[int, ...]]) -> None:
        import onnxruntime

        self.pictures = _buffer(runner.input_shape)
        tensors = {PICTURES: self.pictures} | {name: _buffer(shape) for name, shape in shapes.items()}
        self.steps = []  # per stage: how to run it, on what, and where its logits then are
        for session, stage in zip(runner.sessions, runner.stages, strict=True):
            binding = session.io_binding()
            for name in stage.reads:
                binding.bind_ortvalue_input(name, tensors[name])
            for name in stage.gives:
                binding.bind_ortvalue_output(name, tensors[name])
            # Logits are written into an array of numpy: to ask onnxruntime for one takes several microseconds.
            logits = np.zeros((1, len(runner.class_names)), np.float32)
            binding.bind_ortvalue_output(LOGITS, onnxruntime.OrtValue.ortvalue_from_numpy(logits))
            self.steps.append((session.run_with_iobinding, binding, logits))


class _BoundRun:
    """One picture, in buffers that go back to ``idle`` when the run is over."""

    def __init__(self, buffers: _Buffers, idle: list[_Buffers]) -> None:
        self._buffers, self._idle, self._steps, self._open = buffers, idle, buffers.steps, True

    def stage(self, position: int) -> Float32:
        run, binding, logits = self._steps[position]
        run(binding)
        return logits.copy()  # the next run writes there

    def keep(self, rows: Int64) -> None:
        """One picture either stays or ends the run."""

    def close(self) -> None:
        if self._open:
            self._open = False
            self._idle.append(self._buffers)


def _buffer(shape: tuple[int, ...]) -> Any:
    """Memory of onnxruntime for one picture's tensor ``[1, *shape]``."""
    import onnxruntime

    return onnxruntime.OrtValue.ortvalue_from_shape_and_type([1, *shape], np.float32)


def _open(path: Path, threads: int) -> Any:
    """An onnxruntime session on the CPU."""
    try:
        import onnxruntime
    except ImportError as error:
        raise RequestError(
            "running exported stages needs onnxruntime; install it with: pip install onnxruntime"
        ) from error
    if not path.is_file():
        raise RequestError(f"{path}: there is no such file; copy the whole folder of the export")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4  # the reason arrives in the exception
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has one exception class per status code and no common base
        raise RequestError(f"{path}: this is no ONNX file that onnxruntime can run ({error})") from error


def _read_description(path: Path) -> dict[str, Any]:
    """What ``anytime.json`` says, checked for kind and version."""
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RequestError(f"{path}: cannot be read ({error.strerror}); give the folder of exported stages") from error
    except ValueError as error:
        raise RequestError(f"{path}: this is no JSON file, or a damaged one ({error})") from error
    if not isinstance(description, dict) or description.get("kind") != KIND:
        raise RequestError(f"{path}: this does not describe a network of stages; export it again")
    if description["format_version"] != FORMAT_VERSION:
        raise RequestError(
            f"{path}: has format version {description['format_version']}, this runner reads {FORMAT_VERSION}"
        )
    return description
