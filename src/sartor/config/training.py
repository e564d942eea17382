"""What the settings of a training may be."""

from __future__ import annotations

from sartor.config.check import Problems
from sartor.spaces.references import is_reference, reference_names
from sartor.train.settings import FinalTraining, OptimiserSettings, SearchTraining, names_file

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
            "drop_path": (0 <= settings.drop_path < 1, _SHARE),
            "drop_path_ramp": _ramp(settings),
            "weight_average": (0 <= settings.weight_average < 1, _SHARE),
            "exit_distillation": (0 <= settings.exit_distillation <= 1, "at least 0 and at most 1"),
            "exit_temperature": (settings.exit_temperature > 0, "more than 0"),
            "auxiliary_weight": (settings.auxiliary_weight >= 0, "at least 0"),
        }
        conditions |= _teacher(settings)
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
        "final_rate": _final_rate(settings),
    }
    micro = settings.micro_batch
    if micro is not None and settings.batch_size >= 1:
        divides = micro >= 1 and settings.batch_size % micro == 0
        conditions["micro_batch"] = (divides, f"a divisor of batch_size ({settings.batch_size})")
    return conditions


def _final_rate(settings: OptimiserSettings) -> _Condition:
    if settings.final_rate and settings.schedule not in ("cosine", "linear"):
        return False, f"0 with schedule {settings.schedule}: only cosine and linear end at a given rate"
    return 0 <= settings.final_rate <= settings.learning_rate, "at least 0 and at most learning_rate"


def _ramp(settings: FinalTraining) -> _Condition:
    return not settings.drop_path_ramp or settings.drop_path > 0, "true only with a drop_path above 0"


def _weights(weights: tuple[float, ...] | None) -> _Condition:
    allowed = "null, or one weight of at least 0 per exit, not all 0"
    return weights is None or (min(weights, default=-1) >= 0 and max(weights) > 0), allowed


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
        "gradient_clip": (settings.gradient_clip is None or settings.gradient_clip > 0, "more than 0"),
        "exit_weights": _weights(settings.exit_weights),
    }


def _teacher(settings: FinalTraining) -> dict[str, _Condition]:
    teacher, given = settings.teacher, settings.teacher_file is not None
    named = teacher is not None and not names_file(teacher)
    known = teacher is None or not named or is_reference(teacher)
    files = "null: only a teacher that is a named network has its weights in a file apart"
    if named:
        files = f"a .safetensors file with the weights of {teacher}: a named network brings none"
    mean, std = settings.teacher_mean, settings.teacher_std
    return {
        "teacher": (known, f"a .safetensors or .onnx file, or one of {', '.join(reference_names())}"),
        "teacher_file": (not known or given == named, files),
        "teacher_weight": (0 < settings.teacher_weight <= 1, "more than 0 and at most 1"),
        "teacher_temperature": (settings.teacher_temperature > 0, "more than 0"),
        "teacher_mean": ((mean is None) == (std is None), "given where teacher_std is, and only there"),
        "teacher_std": (std is None or all(s > 0 for s in std), "more than 0 in every channel"),
    }


def _at_least_one_if_given(value: int | None) -> _Condition:
    return value is None or value >= 1, "at least 1"
