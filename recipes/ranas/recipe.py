"""What the recipes of MS-RANAS have in common: pieces to do, and what becomes of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from types import ModuleType

from ranas.pieces import Piece
from ranas.work import Job, do_piece
from searches.recipe import Recipe


def recipe_of(name: str, job: Job, plan: Sequence[Piece], figures: ModuleType) -> Recipe[Piece]:
    """A recipe ``ranas_NAME``; ``figures`` has ``collect``, ``document`` and, where there is a picture, ``draw``."""
    return Recipe(
        configuration={"recipe": f"ranas_{name}", **job.to_json()},
        plan=plan,
        do=partial(do_piece, job),
        needs=job.study.needs,
        collect=lambda: figures.collect(job, plan),
        document=figures.document,
        draw=getattr(figures, "draw", None),
        prefix=f"{name}_",
        published=f"ranas_{name}_{job.size.name}_",
    )
