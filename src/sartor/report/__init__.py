"""The report of a run: data first (:func:`build`), then drawing (:func:`write_html`, :func:`write_png`).

Drawing needs the extra ``report``, which is imported only then; building does not.
"""

from sartor.report.charts import FIGURES
from sartor.report.charts.crp import CrpShares, crp_shares
from sartor.report.curves import read_metrics
from sartor.report.data import ReportData, build
from sartor.report.drawing import write_crp_png, write_html, write_png

figures: list[str] = list(FIGURES)

__all__ = [
    "CrpShares",
    "ReportData",
    "build",
    "crp_shares",
    "figures",
    "read_metrics",
    "write_crp_png",
    "write_html",
    "write_png",
]
