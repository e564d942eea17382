"""What the settings of a training may be."""

from __future__ import annotations

from sartor.config.check import Problems
from sartor.train.settings import FinalTraining, OptimiserSettings, SearchTraining

_SHARE = "at least 0 and less than 1"
_Condition = tuple[bool, str]


def check_training(settings: OptimiserSettings, key: str, problems: Problems) -> None:
    """Notes every value of ``settings`` that no training can have."""
    conditions = {**_schedule(settings), **_update(settings)}
    if isinstance(settings, SearchTraining):
        conditions["policy_batch_size"] = _at_least_one_if_given(settings.policy_batch_size)
    if isinstance(settings, FinalTraining):
        conditions |= {
            "random_passes": (settings.random_passes >= 0, "at least 0"),
            "dropout": (0 <= settings.dropout < 1, _SHARE),
            "dropout_from_epochs": (settings.dropout_from_epochs >= 0, "at least 0"),
        }
    for name, (holds, allowed) in conditions.items():
        if not holds:
            problems.wrong(f"{key}.{name}", getattr(settings, name), allowed)


def _schedule(settings: OptimiserSettings) -> dict[str, _Condition]:
    conditions = {
        "epochs": (settings.epochs > 0, "more than 0"),
        "batch_size": (settings.batch_size >= 1, "at least 1"),
        "learning_rate": (settings.learning_rate >= 0, "at least 0"),
        "per_pictures": _at_least_one_if_given(settings.per_pictures),
        "decay": (0 < settings.decay <= 1, "more than 0 and at most 1"),
        "warmup_share": (0 <= settings.warmup_share < 1, _SHARE),
    }
    micro = settings.micro_batch
    if micro is not None and settings.batch_size >= 1:
        divides = micro >= 1 and settings.batch_size % micro == 0
        conditions["micro_batch"] = (divides, f"a divisor of batch_size ({settings.batch_size})")
    return conditions


def _update(settings: OptimiserSettings) -> dict[str, _Condition]:
    plain = settings.optimiser == "sgd" and settings.momentum != 0
    return {
        "momentum": (0 <= settings.momentum < 1, _SHARE),
        "nesterov": (not settings.nesterov or plain, "true only with optimiser sgd and a momentum above 0"),
        "rmsprop_decay": (0 <= settings.rmsprop_decay < 1, _SHARE),
        "rmsprop_epsilon": (settings.rmsprop_epsilon > 0, "more than 0"),
        "adam_decay": (0 <= settings.adam_decay < 1, _SHARE),
        "adam_epsilon": (settings.adam_epsilon > 0, "more than 0"),
        "weight_decay": (settings.weight_decay >= 0, "at least 0"),
        "label_smoothing": (0 <= settings.label_smoothing < 1, _SHARE),
    }


def _at_least_one_if_given(value: int | None) -> _Condition:
    return value is None or value >= 1, "at least 1"
