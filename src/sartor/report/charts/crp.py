"""The Chinese restaurant process as in the paper's figure 1: data first, then bars."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sartor.platforms import ChineseRestaurantProcess
from sartor.report import theme
from sartor.report.charts.frame import Figure, Rows, altair, finished

MARKET_NOTE = "The market shares of the paper's figure (StatCounter, October 2020) are not available and not drawn."


@dataclass(frozen=True)
class CrpShares:
    """Sorted table shares of one draw, and their mean over many draws, rank by rank."""

    discount: float
    strength: float
    customers: int
    draws: int
    realisation: tuple[float, ...]
    mean: tuple[float, ...]
    expected_tables: float


def crp_shares(
    process: ChineseRestaurantProcess,
    customers: int,
    rng: np.random.Generator,
    draws: int = 2000,
    ranks: int = 10,
) -> CrpShares:
    """The shares of the first of ``draws`` draws, and the mean of all, for the ``ranks`` largest tables."""
    sizes = np.sort(process.sample_many(draws, customers, rng), axis=1)[:, ::-1] / customers
    padded = np.pad(sizes, ((0, 0), (0, max(0, ranks - sizes.shape[1]))))[:, :ranks]
    return CrpShares(
        process.discount,
        process.strength,
        customers,
        draws,
        tuple(float(share) for share in padded[0]),
        tuple(float(share) for share in padded.mean(axis=0)),
        process.expected_tables(customers),
    )


def draw(shares: CrpShares) -> Figure:
    """Bars of the realisation and of the mean, side by side for every rank."""
    alt = altair()
    names = ["one draw", f"mean of {shares.draws:,} draws"]
    rows: Rows = [
        {"rank": rank, "series": name, "share": 100 * share}
        for name, values in zip(names, (shares.realisation, shares.mean), strict=True)
        for rank, share in enumerate(values, start=1)
    ]
    scale = theme.series_scale(names)
    chart = (
        alt.Chart(alt.NamedData("shares"))
        .mark_bar()
        .encode(
            x=alt.X("rank:O", title="Table, from the largest", axis=alt.Axis(labelAngle=0)),
            xOffset=alt.XOffset("series:N", sort=names),
            y=alt.Y("share:Q", title="Share of the customers (%)"),
            color=alt.Color("series:N", scale=alt.Scale(domain=names, range=scale["colours"])),
            tooltip=[alt.Tooltip("rank:O"), alt.Tooltip("series:N"), alt.Tooltip("share:Q", format=".1f")],
        )
    )
    title = f"Chinese restaurant process, discount {shares.discount:g}, strength {shares.strength:g}"
    mean = f"{shares.customers} customers sit at {shares.expected_tables:.2f} tables on average."
    return Figure("crp", title, {"shares": rows}, {(): finished(chart)}, caption=(mean, MARKET_NOTE))
