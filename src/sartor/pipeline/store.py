"""A run folder as the store of a training loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sartor.progress import Advance
from sartor.run import RunFolder
from sartor.train.loop import State


class FolderStore:
    """Checkpoints, metrics and progress of one stage.

    ``stage`` names it in the metrics (``train``, ``baseline:uniform``); a checkpoint of the same name holds its state.
    """

    def __init__(self, folder: RunFolder, stage: str, advance: Advance, checkpoint_seconds: float = 15.0) -> None:
        self.folder = folder
        self.stage = stage
        self.advance_bar = advance
        self.checkpoint_seconds = checkpoint_seconds
        self.shown = 0.0

    @property
    def checkpoint(self) -> str:
        """The name of the checkpoint."""
        return self.stage.replace(":", "-")

    def load(self) -> State | None:
        state = self.folder.read_checkpoint(self.checkpoint)
        self.folder.truncate_metrics(self.stage, 0 if state is None else state["step"])
        return state

    def save(self, state: State) -> None:
        self.folder.write_checkpoint(self.checkpoint, state)

    def log(self, record: Mapping[str, Any]) -> None:
        step = int(record["step"])
        self.folder.log(self.stage, step, **{k: v for k, v in record.items() if k != "step"})

    def advance(self, done: float, total: float, shown: Mapping[str, float]) -> None:
        share = done / total
        self.advance_bar(share - self.shown, **{k: v for k, v in shown.items() if k in ("loss", "loss_difference")})
        self.shown = share
