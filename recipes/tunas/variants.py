"""The searches that are compared with each other: what each changes, and the questions that they answer."""

from __future__ import annotations

import math
from collections.abc import Mapping

from searches.experiment import Experiment
from searches.variants import Question, Variant
from tunas import paper
from tunas.sizes import SIZES

MAIN = "tunas"
_ENLARGED, _PROXYLESS = "proxylessnas_enlarged", "proxylessnas"
# A constant rate keeps the sum of the growing one, or its start: tenfold growth sums to 9 / ln 10 times the latter.
_CONSTANT, _START = {"rate_growth": 1.0}, math.log(10) / 9
_NO_WARMUPS = {"op_warmup": False, "filter_warmup": False}

VARIANTS: Mapping[str, Variant] = {
    MAIN: Variant(share=1.0),
    "enlarged": Variant(space=_ENLARGED),
    "enlarged_no_warmups": Variant(space=_ENLARGED, settings=_NO_WARMUPS),
    "enlarged_constant_rate": Variant(space=_ENLARGED, settings=_CONSTANT),
    "enlarged_low_rate": Variant(space=_ENLARGED, settings=_CONSTANT, factors={"rate_sum": _START}),
    "proxyless": Variant(space=_PROXYLESS),
    "proxyless_uncollapsed": Variant(space=_PROXYLESS, options={"collapsed": False}),
    "proxyless_per_stride": Variant(space=_PROXYLESS, options={"filters": "doubled_per_stride"}),
    "proxyless_per_block": Variant(space=_PROXYLESS, options={"filters": "doubled_per_block"}),
}

QUESTIONS = (
    Question(
        title="Table 10: without warm-ups",
        changed="enlarged_no_warmups",
        base="enlarged",
        published=paper.ABLATIONS["enlarged_no_warmups"],
    ),
    Question(
        title="Finding 4: every choice with weights of its own", changed="proxyless_uncollapsed", base="proxyless"
    ),
    Question(
        title="Section 4.2: constant policy rate of the same sum", changed="enlarged_constant_rate", base="enlarged"
    ),
    Question(title="Section 4.2: policy rate stays where it starts", changed="enlarged_low_rate", base="enlarged"),
    Question(
        title="Table 8: filters doubled per stride, against the fixed ones of ProxylessNAS",
        changed="proxyless_per_stride",
        base="proxyless",
        published=paper.ABLATIONS["proxyless_per_stride"],
    ),
    Question(
        title="Table 8: filters doubled per block, against the fixed ones of ProxylessNAS",
        changed="proxyless_per_block",
        base="proxyless",
        published=paper.ABLATIONS["proxyless_per_block"],
    ),
    Question(
        title="filters doubled per stride, against searched ones", changed="proxyless_per_stride", base="enlarged"
    ),
    Question(title="filters doubled per block, against searched ones", changed="proxyless_per_block", base="enlarged"),
    Question(
        title="Table 6: a search four times as long",
        changed=MAIN,
        base="enlarged",
        published=paper.FOUR_TIMES_AS_LONG,
    ),
)

EXPERIMENT = Experiment(name=MAIN, title="TuNAS", sizes=SIZES, variants=VARIANTS, questions=QUESTIONS)
