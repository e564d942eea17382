"""The searches that are compared with each other: what each changes, and the questions that they answer."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from fpnas import paper
from fpnas.sizes import SIZES
from searches.experiment import Experiment
from searches.variants import Question, Values, Variant

EPOCHS = 315  # of the paper's searches
# Samples and moments as in the paper; what else a size changes stays.
_PAPER: dict[str, Any] = {"entropy_scale": 0.25, "warmup": 45 / EPOCHS}
_JOINT: dict[str, Any] = {**_PAPER, "distribution": "joint"}
_FINE, _PLUS = "fbnetv2_f_fine", "fbnetv2_f_plus"


def uniform_splits(values: Values, splits: int) -> Values:
    """A network of ``fbnetv2_f`` with split attention in place of every squeeze-excite, in ``fbnetv2_f_plus``."""
    return {
        name.replace("_se", "_splits"): splits if value and name.endswith("_se") else value
        for name, value in values.items()
    }


VARIANTS: Mapping[str, Variant] = {
    "joint": Variant(settings=_JOINT),
    "fixed_4": Variant(settings={**_JOINT, "samples": 4}),
    "fixed_8": Variant(settings={**_JOINT, "samples": 8}),
    "fixed_14": Variant(settings={**_JOINT, "samples": 14}),
    "factorised": Variant(settings={**_PAPER, "distribution": "factorised"}),
    "mixed_80": Variant(settings={**_PAPER, "distribution": "mixed", "conversion": 80 / EPOCHS}),
    "mixed_150": Variant(settings={**_PAPER, "distribution": "mixed", "conversion": 150 / EPOCHS}),
    "fine": Variant(space=_FINE, settings=_JOINT),
    "fine_fixed_14": Variant(space=_FINE, settings={**_JOINT, "samples": 14}),
    "splits": Variant(space=_PLUS, settings={**_PAPER, "distribution": "mixed", "conversion": 80 / EPOCHS}),
    "splits_2": Variant(space=_PLUS, derived="mixed_80", change=partial(uniform_splits, splits=2)),
    "splits_4": Variant(space=_PLUS, derived="mixed_80", change=partial(uniform_splits, splits=4)),
}

QUESTIONS = (
    *(
        Question(
            title=f"Figure 3: adaptive against {count} fixed samples",
            changed="joint",
            base=f"fixed_{count}",
            published=paper.ADAPTIVE.get(count),
        )
        for count in (4, 8, 14)
    ),
    Question(
        title="Table 4: adaptive against 14 fixed samples in the fine space",
        changed="fine",
        base="fine_fixed_14",
        published=paper.FINE,
    ),
    *(
        Question(title=f"Table 5: {what}, against joint", changed=name, base="joint", published=paper.TABLE_5[name])
        for name, what in (
            ("factorised", "factorised"),
            ("mixed_80", "mixed, epoch 80"),
            ("mixed_150", "mixed, epoch 150"),
        )
    ),
    *(
        Question(
            title=f"Table 7: searched splits against {count} in every squeeze-excite of the found network",
            changed="splits",
            base=f"splits_{count}",
            published=paper.TABLE_7[count],
        )
        for count in (2, 4)
    ),
    Question(
        title="Table 7: searched splits against squeeze-excite",
        changed="splits",
        base="mixed_80",
        published=paper.TABLE_7[1],
    ),
)

EXPERIMENT = Experiment(name="fpnas", title="FP-NAS", sizes=SIZES, variants=VARIANTS, questions=QUESTIONS)
