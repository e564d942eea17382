"""A run, stage by stage: search, train, export, report. Each stage is done once; a run that was killed goes on."""

from sartor.pipeline.pick import pick
from sartor.pipeline.setting import Setting
from sartor.pipeline.stages import STAGES, run_job

__all__ = ["STAGES", "Setting", "pick", "run_job"]
