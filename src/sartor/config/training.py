"""What the settings of a training may be."""

from __future__ import annotations

from sartor.config.check import Problems
from sartor.train.settings import FinalTraining, OptimiserSettings


def check_training(settings: OptimiserSettings, key: str, problems: Problems) -> None:
    """Notes every value of ``settings`` that no training can have."""
    warmup_fits = 0 <= settings.warmup_epochs < max(settings.epochs, 0) or settings.warmup_epochs == 0
    conditions = {
        "epochs": (settings.epochs > 0, "more than 0"),
        "batch_size": (settings.batch_size >= 1, "at least 1"),
        "learning_rate": (settings.learning_rate >= 0, "at least 0"),
        "decay": (0 < settings.decay <= 1, "more than 0 and at most 1"),
        "warmup_epochs": (warmup_fits, f"at least 0 and less than epochs ({settings.epochs:g})"),
        "momentum": (0 <= settings.momentum < 1, "at least 0 and less than 1"),
        "nesterov": (not settings.nesterov or settings.momentum != 0, "true only with a momentum above 0"),
        "weight_decay": (settings.weight_decay >= 0, "at least 0"),
    }
    micro = settings.micro_batch
    if micro is not None and settings.batch_size >= 1:
        divides = micro >= 1 and settings.batch_size % micro == 0
        conditions["micro_batch"] = (divides, f"a divisor of batch_size ({settings.batch_size})")
    if isinstance(settings, FinalTraining):
        conditions |= {
            "random_passes": (settings.random_passes >= 0, "at least 0"),
            "dropout": (0 <= settings.dropout < 1, "at least 0 and less than 1"),
            "label_smoothing": (0 <= settings.label_smoothing < 1, "at least 0 and less than 1"),
        }
    for name, (holds, allowed) in conditions.items():
        if not holds:
            problems.wrong(f"{key}.{name}", getattr(settings, name), allowed)
