"""A network with exits that is stopped by a deadline, a budget or its own confidence, in PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sartor.anytime.modules import StageModule, stage_modules
from sartor.anytime.running import Int64, Limits, Run, StageFacts, StageRunner
from sartor.anytime.stages import exit_costs
from sartor.blueprint import Blueprint
from sartor.data import Normalisation
from sartor.errors import RequestError
from sartor.memory import PICTURES


class AnytimePredictor(StageRunner):
    """Predictions of a network with exits as they come, and no work for exits that are not reached.

        predictor = sartor.load_anytime("runs/phone/anytime.safetensors")
        x = predictor.prepare(pictures)                                   # uint8 [B, S, S, C]
        for prediction in predictor.predict(x, deadline_ms=4.0): ...      # every 4 ms has an answer, and a better one
        predictor.answer(x, macs=40e6)                                    # the best exit within 40 M MACs
        predictor.classify(x, thresholds)                                 # each picture up to its own exit

    A run that may stop at any exit computes what the exits so far read, heads included (:func:`make_stages`). Where the
    last exit is known beforehand - ``macs`` or ``exit`` alone - only what that exit reads is computed, and it gives the
    one prediction.

    Args:
        network: as ``blueprint.build()`` makes it, trained; it is put into evaluation mode, its weights are shared.
        blueprint: what it was built from.
        normalisation: of its pictures; only :meth:`prepare` needs it.
        class_names: one per class, if known.
    """

    def __init__(
        self,
        network: nn.Module,
        blueprint: Blueprint,
        *,
        normalisation: Normalisation | None = None,
        class_names: Sequence[str] = (),
    ) -> None:
        self.network, self.blueprint = network.eval(), blueprint
        self.normalisation, self.class_names = normalisation, tuple(class_names)
        self.exits = exit_costs(blueprint)
        super().__init__([_with_facts(module) for module in stage_modules(network, blueprint)])
        # For every exit one stage that runs all that this exit reads.
        self._alone = [
            _with_facts(module)
            for exit in range(len(self.exits))
            for module in stage_modules(network, blueprint, [exit])
        ]
        self._parameter = next(network.parameters())  # where the network lies, now and after it is moved

    def prepare(self, pictures: NDArray[Any]) -> Tensor:
        """Raw pictures, uint8 ``[B, S, S, C]`` or ``[B, S, S]`` in grey, as the network takes them ``[B, C, S, S]``.

        Raises:
            RequestError: the pictures are of another type or shape, or the normalisation is not known.
        """
        if self.normalisation is None:
            raise RequestError("the normalisation of the pictures is not known; give it to AnytimePredictor")
        batch = torch.as_tensor(pictures)
        batch = batch.unsqueeze(-1) if batch.ndim == 3 else batch
        side, channels = self.blueprint.image_size, self.blueprint.in_channels
        if batch.dtype != torch.uint8 or tuple(batch.shape[1:]) != (side, side, channels):
            raise RequestError(
                f"pictures: needed are uint8 of shape [B, {side}, {side}, {channels}], got {batch.dtype} of shape "
                f"{list(batch.shape)}; sartor.export.preprocess makes them from files and other sizes"
            )
        scale, shift = (torch.from_numpy(v) for v in (self.normalisation.scale, self.normalisation.shift))
        return (batch * scale + shift).permute(0, 3, 1, 2)

    def _plan(self, limits: Limits) -> Sequence[StageFacts]:
        if not limits.foreseen:
            return super()._plan(limits)
        if limits.macs is None:
            return [self._alone[limits.last]]
        return [stage for stage in self._alone[: limits.last + 1] if stage.macs <= limits.macs][-1:]

    def _start(self, x: Any, plan: Sequence[StageFacts]) -> Run:
        expected = (self.blueprint.in_channels, self.blueprint.image_size, self.blueprint.image_size)
        if not isinstance(x, Tensor) or tuple(x.shape[1:]) != expected or not len(x):
            shape = list(x.shape) if hasattr(x, "shape") else type(x).__name__
            raise RequestError(
                f"pictures: needed is a tensor [B, {', '.join(map(str, expected))}] as prepare() makes it, got {shape}"
            )
        modules = [stage.module for stage in plan if isinstance(stage, _ModuleFacts)]
        return _ModuleRun(modules, x.to(self._parameter.device, self._parameter.dtype))


@dataclass(frozen=True, eq=False)
class _ModuleFacts(StageFacts):
    """A stage, and the module that runs it."""

    module: StageModule


class _ModuleRun:
    """A batch on its way through stage modules."""

    def __init__(self, modules: Sequence[StageModule], x: Tensor) -> None:
        self._modules, self._alive = modules, {PICTURES: x}

    @torch.inference_mode()
    def stage(self, position: int) -> NDArray[Any]:
        logits: NDArray[Any] = self._modules[position].run(self._alive).double().cpu().numpy()
        return logits

    @torch.inference_mode()
    def keep(self, rows: Int64) -> None:
        kept = torch.from_numpy(rows)
        self._alive = {name: tensor[kept.to(tensor.device)] for name, tensor in self._alive.items()}

    def close(self) -> None:
        self._alive = {}


def _with_facts(module: StageModule) -> _ModuleFacts:
    stage = module.stage
    return _ModuleFacts(stage.exit, stage.reads, stage.gives, stage.macs, module)


def load_anytime(path: str | Path) -> StageRunner:
    """A predictor from a file: ``anytime.safetensors`` in PyTorch, or the folder of exported stages in onnxruntime.

    Raises:
        RequestError: the file or folder is missing, damaged or of another kind.
    """
    path = Path(path)
    if path.is_dir() or path.suffix == ".json":
        from sartor.anytime.onnx_runner import OnnxRunner

        return OnnxRunner(path if path.is_dir() else path.parent)
    from sartor.pipeline.network_file import read_network  # the pipeline writes these files, and uses this package

    network, card = read_network(path)
    return AnytimePredictor(network, card.blueprint, normalisation=card.normalisation, class_names=card.class_names)
