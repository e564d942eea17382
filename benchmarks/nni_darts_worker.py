"""NNI's side of darts_step.py: its DARTS strategy on its DARTS space, a step per request.

As in nni_worker.py, from which the trainer and the clock around a step are taken.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from nni_worker import ENDLESS, Requests, SameBatch, Steps, quiet_trainer
from peak_memory import tensor_growth
from sartor.runtime import keep_freed_memory
from workers import settings_of_worker
from workload import SEED, Scale, batch

from nni.nas import strategy  # isort: skip
from nni.nas.evaluator.pytorch import Lightning  # isort: skip
from nni.nas.hub.pytorch import DARTS  # isort: skip


class DARTSSteps(Steps):
    """The recipe of DARTS; the loss of a batch is asked for twice in a step."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        r = self.recipe
        return torch.optim.SGD(
            self.parameters(),
            lr=r["learning_rate"],
            momentum=r["momentum"],
            weight_decay=r["weight_decay"],
            foreach=True,
        )


def search(settings: dict[str, Any], steps: Steps) -> None:
    """Lets the strategy search for as long as steps are asked for."""
    scale = Scale(**settings["scale"])
    options = scale.space
    torch.manual_seed(SEED)
    space = DARTS(width=options["channels"], num_cells=options["layers"], dataset="cifar")
    clip = settings["optimiser"]["gradient_clip"]
    chosen = strategy.DARTS(gradient_clip_val=clip, log_prob_every_n_step=ENDLESS)
    supernet = chosen.mutate_model(space).to(memory_format=torch.channels_last)
    data = SameBatch(batch(scale))
    with tempfile.TemporaryDirectory() as folder:
        evaluator = chosen.mutate_evaluator(Lightning(steps, quiet_trainer(folder), data, data))
        evaluator.evaluate(supernet)


def main(settings: dict[str, Any]) -> None:
    """Answers requests for steps; or makes so many and answers with their peak of memory."""
    # NNI logs to the standard output, which belongs to the answers.
    reply = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for name in ("nni", "pytorch_lightning", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    torch.set_num_threads(1)
    keep_freed_memory()
    recipe = {"label_smoothing": 0.0, **settings["optimiser"]}
    if settings["steps"] is None:
        requests: Requests = (json.loads(line) for line in sys.stdin)
        search(settings, DARTSSteps(requests, recipe, reply))
        return
    with Path(os.devnull).open("w") as nobody:
        steps = DARTSSteps(iter([{}] * settings["steps"]), recipe, nobody)
        peak = tensor_growth(lambda: search(settings, steps))
    versions = {name: version(name) for name in ("nni", "pytorch-lightning", "torch", "numpy")}
    sys.stdin.readline()
    print(json.dumps({"peak": peak, "versions": versions}), file=reply, flush=True)


if __name__ == "__main__":
    main(settings_of_worker() or {})
