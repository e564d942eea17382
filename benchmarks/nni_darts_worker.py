"""NNI's side of darts_step.py: its DARTS strategy on its DARTS space, a step per request.

As in nni_worker.py, from which the trainer and the clock around a step are taken.
"""

from __future__ import annotations

import tempfile
from typing import Any

import torch

from nni_worker import ENDLESS, SameBatch, Steps, bytes_of, main, quiet_trainer
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


def search(settings: dict[str, Any], steps: Steps) -> int:
    """Lets the strategy search for as long as steps are asked for; returns the bytes of the supernet's weights."""
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
    return bytes_of(supernet)


if __name__ == "__main__":
    main(settings_of_worker() or {}, search, DARTSSteps)
