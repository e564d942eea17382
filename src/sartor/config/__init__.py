"""What a job asks for: one YAML file, checked whole before anything starts. Needs no torch of its own."""

from sartor.config.job import Job, MethodChoice, SpaceChoice
from sartor.config.load import load_job
from sartor.config.sections import (
    AugmentationSettings,
    DataSettings,
    EvaluationSettings,
    ExportSettings,
    MeasureSettings,
    RandomTrainedSettings,
)

__all__ = [
    "AugmentationSettings",
    "DataSettings",
    "EvaluationSettings",
    "ExportSettings",
    "Job",
    "MeasureSettings",
    "MethodChoice",
    "RandomTrainedSettings",
    "SpaceChoice",
    "load_job",
]
