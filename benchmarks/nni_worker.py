"""NNI's side of search_step.py: its one-shot strategies on its ProxylessNAS space, a step per request.

This script runs under the Python of NNI's own virtual environment. The strategy, the supernet it makes and the
trainer of pytorch-lightning are NNI's; the clock runs from the trainer's ``on_train_batch_start`` to its
``on_train_batch_end``, so that loading data, logging and whatever else lies between two steps is left out.

What is set: the network has ReLU where NNI's has ReLU6, like the other side's; the log of probabilities is off;
RandomOneShot takes the path that the request names, through the same ``resample`` of its modules.
"""

from __future__ import annotations

import json
import logging
import os
import random
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from peak_memory import tensor_growth
from sartor.runtime import keep_freed_memory
from workers import settings_of_worker
from workload import SEED, Scale, batch

warnings.filterwarnings("ignore")

from nni.nas import strategy  # noqa: E402
from nni.nas.evaluator.pytorch import Lightning, LightningModule, Trainer  # noqa: E402
from nni.nas.hub.pytorch import ProxylessNAS  # noqa: E402

Requests = Iterator[dict[str, Any]]
# Searches for as long as steps are asked for; the bytes of the supernet's weights.
Search = Callable[[dict[str, Any], "Steps"], int]
ENDLESS = 10**9


class Steps(LightningModule):
    """The training recipe, and the clock around every step that is asked for."""

    def __init__(self, requests: Requests, optimiser: dict[str, Any], reply: TextIO) -> None:
        super().__init__()
        self.requests, self.recipe, self.reply = requests, optimiser, reply
        self.request: dict[str, Any] = {}

    def forward(self, x: torch.Tensor) -> Any:
        return self.model(x)

    def training_step(self, pictures: Any, number: int) -> torch.Tensor:
        x, y = pictures
        with FlopCounterMode(display=False) if self.request.get("count") else nullcontext() as counter:
            logits = self.model(x)
        self.macs = None if counter is None else counter.get_total_flops() // 2
        return F.cross_entropy(logits, y, label_smoothing=self.recipe["label_smoothing"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        r = self.recipe
        return torch.optim.RMSprop(
            self.parameters(),
            lr=r["learning_rate"],
            alpha=r["rmsprop_decay"],
            eps=r["rmsprop_epsilon"],
            momentum=r["momentum"],
            weight_decay=r["weight_decay"],
            foreach=True,
        )

    def on_train_batch_start(self, *_: Any) -> int | None:
        request = next(self.requests, None)
        if request is None:
            return -1  # lightning's sign to end the epoch
        self.request = request
        self.start = time.process_time()
        return None

    def on_train_batch_end(self, *_: Any) -> None:
        seconds = time.process_time() - self.start
        print(json.dumps({"seconds": seconds, "macs": self.macs}), file=self.reply, flush=True)


class SameBatch:
    """The same pictures for ever."""

    def __init__(self, pictures: Any) -> None:
        self.pictures = pictures

    def __len__(self) -> int:
        return ENDLESS

    def __iter__(self) -> Iterator[Any]:
        while True:
            yield self.pictures


def search(settings: dict[str, Any], steps: Steps) -> int:
    """Lets the strategy search for as long as steps are asked for; returns the bytes of the supernet's weights."""
    scale = Scale(**settings["scale"])
    torch.manual_seed(SEED)
    random.seed(SEED)
    space = ProxylessNAS(num_labels=scale.num_classes)
    use_relu(space)
    chosen = (
        strategy.RandomOneShot()
        if settings["strategy"] == "random"
        else strategy.Proxyless(log_prob_every_n_step=ENDLESS)
    )
    supernet = chosen.mutate_model(space).to(memory_format=torch.channels_last)
    data = SameBatch(batch(scale))
    with tempfile.TemporaryDirectory() as folder:
        evaluator = chosen.mutate_evaluator(Lightning(steps, quiet_trainer(folder), data, data))
        if settings["strategy"] == "random":
            evaluator.module.resample = lambda: take_path(evaluator.module, steps.request["path"])
        evaluator.evaluate(supernet)
    return bytes_of(supernet)


def bytes_of(network: nn.Module) -> int:
    """What its weights take."""
    return sum(p.numel() * p.element_size() for p in network.parameters())


def take_path(module: Any, path: dict[str, Any]) -> dict[str, Any]:
    """What ``resample`` does, with all its choices made."""
    memo = dict(path)
    for part in module.supernet_modules():
        part.resample(memo=memo)
    return memo


def use_relu(network: nn.Module) -> None:
    """Replaces every ReLU6."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU6):
                setattr(module, name, nn.ReLU(inplace=True))


def quiet_trainer(folder: str) -> Trainer:
    """A trainer for one long epoch that writes nothing."""
    return Trainer(
        max_epochs=1,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
        default_root_dir=folder,
    )


def main(settings: dict[str, Any], search: Search = search, kind: type[Steps] = Steps) -> None:
    """Answers requests for steps; or makes the steps of ``requests`` and answers with their peak of memory."""
    # NNI logs to the standard output, which belongs to the answers.
    reply = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for name in ("nni", "pytorch_lightning", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    torch.set_num_threads(1)
    if settings["kept"]:
        keep_freed_memory()
    if "requests" not in settings:
        search(settings, kind((json.loads(line) for line in sys.stdin), settings["optimiser"], reply))
        return
    weights: list[int] = []
    with Path(os.devnull).open("w") as nobody:
        steps = kind(iter(settings["requests"]), settings["optimiser"], nobody)
        peak = tensor_growth(lambda: weights.append(search(settings, steps)))
    versions = {name: version(name) for name in ("nni", "pytorch-lightning", "torch", "numpy")}
    sys.stdin.readline()
    print(json.dumps({"peak": peak, "weights": weights[0], "versions": versions}), file=reply, flush=True)


if __name__ == "__main__":
    main(settings_of_worker() or {})
