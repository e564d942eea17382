"""The page and the pictures: nothing is loaded, everything is drawn, text cannot break out."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import policy_samples
import pytest
import report_samples as samples

from sartor import report
from sartor.errors import RequestError
from sartor.platforms import ChineseRestaurantProcess
from sartor.report import theme
from sartor.report.beliefs import MAX_SNAPSHOTS
from sartor.report.charts import FIGURES
from sartor.report.charts.policy import _edges, _end_rows

pytest.importorskip("altair")
pytest.importorskip("vl_convert")
pytest.importorskip("jinja2")

POLICY_FIGURES = ("networks", "search", "policy", "policy_end")
ANYTIME_FIGURES = ("anytime", "batches")
LATENCY_FIGURES = ("latency",)
LOADING = {"src", "href", "srcset", "data", "poster", "action", "xlink:href", "background"}


class Page(HTMLParser):
    """Every address that an element names, the text of the scripts by id, and the visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[tuple[str, str]] = []
        self.scripts: dict[str, str] = {}
        self.elements: list[str] = []
        self.text = ""
        self._within: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.addresses += [(tag, value or "") for name, value in attributes if name in LOADING]
        if tag in ("script", "style"):
            self._within = dict(attributes).get("id") or tag

    def handle_endtag(self, tag: str) -> None:
        self._within = None

    def handle_data(self, text: str) -> None:
        if self._within:
            self.scripts[self._within] = self.scripts.get(self._within, "") + text
        else:
            self.text += text


@pytest.fixture(scope="module")
def seven() -> report.ReportData:
    """A full run on seven platforms."""
    return report.build(samples.slimmable_result(cloud=1000), samples.metrics(steps=1000))


@pytest.fixture(scope="module")
def policy() -> report.ReportData:
    """A policy-based search of three platforms over 86 decisions, with everything that either method logs."""
    metrics = policy_samples.policy_metrics("mobilenetv3_like", method="fpnas")
    return report.build(policy_samples.policy_result("mobilenetv3_like"), metrics)


@pytest.fixture(scope="module")
def policy_page(policy: report.ReportData, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Its page."""
    path = tmp_path_factory.mktemp("policy") / "report.html"
    report.write_html(policy, path)
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(seven: report.ReportData, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Its page."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    report.write_html(seven, path)
    return path.read_text(encoding="utf-8")


def test_page_loads_nothing(page: str) -> None:
    """No element names an address outside the run folder, and the browser is told to allow none."""
    parsed = Page(page)
    assert ("a", "export/watch.onnx") in parsed.addresses
    assert [a for a in parsed.addresses if re.match(r"\s*(?:[a-z][a-z0-9+.-]*:|//)", a[1], re.I)] == []
    assert {tag for tag, _ in parsed.addresses} == {"a"}
    assert not re.search(r"@import|url\(", parsed.scripts["style"])
    assert "default-src 'none'" in page


def test_page_is_small(page: str) -> None:
    """Seven platforms, a full cloud and long logs fit into 1.2 megabytes."""
    assert len(page.encode()) < 1_200_000


def test_page_carries_its_data(page: str, seven: report.ReportData) -> None:
    """The result stands in the page as JSON, and every figure with its views."""
    scripts = Page(page).scripts
    assert json.loads(scripts["result"]) == json.loads(json.dumps(seven.result))
    drawing = json.loads(scripts["drawing"])
    assert list(drawing["figures"]) == [
        name for name in report.figures if name not in (*POLICY_FIGURES, *ANYTIME_FIGURES, *LATENCY_FIGURES)
    ]
    labels = [view["labels"] for view in drawing["figures"]["accuracy_cost"]["views"]]
    assert labels[0] == ["Test accuracy", "MACs"]
    assert ["Validation accuracy", "peak memory"] in labels


def test_every_platform_has_a_row(page: str, seven: report.ReportData) -> None:
    """Each platform appears with its sentence, its exact cost and its export check."""
    text = Page(page).text
    for row in seven.platforms:
        assert row.answer in text
        assert f"{row.costs['macs']:,}" in page
    assert "of 14" in text


def test_networks_with_exits_have_a_section(tmp_path: Path) -> None:
    """Exits with the platforms they serve, the curves of both systems, and the cells as a graph; no table of blocks."""
    report.write_html(report.build(samples.anytime_result(), []), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    drawing = json.loads(Page(page).scripts["drawing"])["figures"]
    assert set(ANYTIME_FIGURES) <= set(drawing) and "networks" not in drawing
    assert page.count('<svg class="cell"') == 1 and "serves small" in page and "15,000,000" in page
    assert Page(page).addresses is not None and "anytime/anytime.json" in page


def test_missed_budgets_are_marked(tmp_path: Path) -> None:
    """A missed budget turns its row red and says so in words, for those who do not see red."""
    result = samples.slimmable_result(2, cloud=0)
    result["platforms"][1]["costs"]["macs"] *= 2
    report.write_html(report.build(result, []), tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert len(re.findall(r'<tr class="missed">', text)) == 1
    assert "missed</b>" in text
    assert "watch misses its budget" in text


def test_empty_run_makes_a_page(tmp_path: Path) -> None:
    """With everything unmeasured the page still stands, and hostile names stay text."""
    path = tmp_path / "report.html"
    report.write_html(report.build(samples.cell_result(), []), path)
    parsed = Page(path.read_text(encoding="utf-8"))
    assert "cells </script><b>&" in parsed.text
    assert json.loads(parsed.scripts["result"])["name"] == "cells </script><b>&"
    assert "No accuracy was measured for any platform" in parsed.text
    assert "trained no baselines" in parsed.text
    assert list(json.loads(parsed.scripts["drawing"])["figures"]) == ["choices"]


def test_paths_that_lead_away_are_not_links(tmp_path: Path) -> None:
    """Only relative paths become links."""
    result = samples.slimmable_result(1, cloud=0)
    result["platforms"][0] |= {"onnx": "javascript:alert(1)", "weights": "/etc/passwd"}
    report.write_html(report.build(result, []), tmp_path / "report.html")
    addresses = Page((tmp_path / "report.html").read_text(encoding="utf-8")).addresses
    assert [value for _, value in addresses if "alert" in value or "etc" in value] == []


@pytest.mark.parametrize("name", report.figures)
def test_every_figure_is_a_picture(
    seven: report.ReportData, policy: report.ReportData, name: str, tmp_path: Path
) -> None:
    """Each figure renders to a PNG of a sensible size without a browser."""
    path = tmp_path / f"{name}.png"
    data = policy if name in POLICY_FIGURES else seven
    if name in LATENCY_FIGURES:
        data = report.build(samples.latency_result(), [])
    if name in ANYTIME_FIGURES:
        data = report.build(samples.anytime_result(), [])
    report.write_png(data, name, path, scale=1)
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = (int.from_bytes(head[k : k + 4], "big") for k in (16, 20))
    assert 600 < width < 1000
    assert 200 < height < 1500


def test_figures_without_content_are_refused(tmp_path: Path, seven: report.ReportData) -> None:
    """A figure that does not exist, or has nothing to draw, is a sentence and no file."""
    with pytest.raises(RequestError, match="unknown figure 'pie': known are accuracy_cost"):
        report.write_png(seven, "pie", tmp_path / "x.png")
    with pytest.raises(RequestError, match="nothing to draw in the figure 'training'"):
        report.write_png(report.build(samples.cell_result(), []), "training", tmp_path / "x.png")
    assert not list(tmp_path.iterdir())


def test_policy_page_is_small(policy_page: str) -> None:
    """Three platforms, 86 decisions and 41 snapshots of 306 probabilities each fit into 1.35 megabytes."""
    assert len(policy_page.encode()) < 1_350_000


def test_policy_page_tells_how_it_was_decided(policy_page: str, policy: report.ReportData) -> None:
    """The section stands with its table, both answers and every figure; the long table of choices gives way."""
    parsed = Page(policy_page)
    figures = json.loads(parsed.scripts["drawing"])["figures"]
    assert "How the search decided" in parsed.text
    assert set(POLICY_FIGURES) < set(figures)
    assert "choices" not in figures and "channels" not in figures
    for choice in policy.own[0].choices:
        assert choice.decision in parsed.text
    assert f"{len(policy.own[0].choices)} of 86 decisions differ" in parsed.text
    row = policy.search_rows[0]
    assert f"{row.settled} of {row.decisions}" in parsed.text
    assert parsed.text.index("the policy's entropy fell only") < parsed.text.index("Accuracy against cost")


def test_short_lists_keep_their_table_of_choices() -> None:
    """Beside the blocks of a small space its choices stay."""
    result = policy_samples.policy_result(platforms=1)
    few = [d for d in result["space"]["decisions"] if "kernel" in d["name"]]
    result["space"]["decisions"] = few
    data = report.build(result, [])
    assert data.networks.cells
    figure = FIGURES["choices"](data)
    assert figure is not None
    assert len(figure.rows["choices"]) == len(few)


def test_other_runs_do_not_speak_of_policies(page: str) -> None:
    """A method without a policy has no section about one."""
    assert "How the search decided" not in page
    assert 'data-figure="policy"' not in page


def test_pictures_of_a_view(policy: report.ReportData, tmp_path: Path) -> None:
    """A figure with several views is drawn in the one asked for; an unknown one is refused with those there are."""
    first, other = tmp_path / "first.png", tmp_path / "other.png"
    report.write_png(policy, "policy_end", first, scale=1)
    report.write_png(policy, "policy_end", other, scale=1, view=("tablet", "all decisions"))
    heights = [int.from_bytes(path.read_bytes()[20:24], "big") for path in (first, other)]
    assert heights[1] > heights[0] + 100
    with pytest.raises(RequestError, match="'policy_end' has no view 'fridge': it has watch, decisions that matter; "):
        report.write_png(policy, "policy_end", tmp_path / "x.png", view=("fridge",))


def test_amounts_and_rates_are_drawn_from_zero(policy: report.ReportData) -> None:
    """A rate that never changes has an axis to be read on, and samples are whole numbers on theirs."""
    figure = FIGURES["search"](policy)
    assert figure is not None
    rows = figure.rows["search"]
    zeros = {row["quantity"] for row in rows if row["role"] == "zero"}
    assert zeros == {
        "Entropy of the policy (nats)",
        "Samples per step",
        "Effective samples per step",
        "Learning rate of the policy",
    }
    assert zeros < {row["quantity"] for row in rows if row["role"] == "line"}
    assert any("Effective samples" in line for line in figure.caption)
    assert any("batch norms measured anew" in line for line in figure.caption)


def test_histories_end_with_the_search(policy: report.ReportData) -> None:
    """Columns of the heat map meet half-way between snapshots and fill the search from 0 to 100 percent."""
    assert _edges([0.0, 0.5, 1.0]) == [0.0, 25.0, 75.0, 100.0]
    figure = FIGURES["policy"](policy)
    assert figure is not None
    row = figure.rows["beliefs"][0]
    assert len(row["chance"]) == len(row["lead"]) == len(row["leader"]) == MAX_SNAPSHOTS


def test_bars_begin_with_the_answer(policy: report.ReportData) -> None:
    """The option returned comes first, even at a probability of 0; it is marked where another one is more probable."""
    figure = FIGURES["policy_end"](policy)
    assert figure is not None
    phone = [row for row in figure.rows["final"] if row["platform"] == "phone"]
    firsts = {row["decision"]: row for row in phone if row["first"]}
    assert {row["start"] for row in firsts.values()} == {0}
    assert len(firsts) == 86
    differing = {choice.decision for choice in policy.own[0].choices}
    assert {name for name, row in firsts.items() if row["role"] == "unlikely" and row["used"]} == differing
    for before, after in itertools.pairwise(phone):
        assert after["first"] or after["start"] == pytest.approx(before["end"], abs=0.11)
    never = dataclasses.replace(policy.beliefs.decisions[0], likely=1, taken=0, final=(0.0, 1.0, 0.0, 0.0))
    assert [(row["end"], row["role"]) for row in _end_rows(never)] == [(0, "unlikely"), (100, "other2")]


def test_process_picture(tmp_path: Path) -> None:
    """The process is drawn like figure 1: one draw and the mean, sorted, and no market shares are invented."""
    process = ChineseRestaurantProcess(discount=0.3, strength=0.15)
    shares = report.crp_shares(process, 100, np.random.default_rng(0))
    assert len(shares.realisation) == len(shares.mean) == 10
    assert list(shares.mean) == sorted(shares.mean, reverse=True)
    assert sum(shares.mean) == pytest.approx(1, abs=0.03)
    assert shares.expected_tables == pytest.approx(5.79, abs=0.005)
    report.write_crp_png(shares, tmp_path / "crp.png")
    assert (tmp_path / "crp.png").stat().st_size > 5000


@pytest.mark.parametrize("colours", [theme.LIGHT, theme.DARK], ids=["light", "dark"])
def test_colours_have_contrast(colours: dict[str, str]) -> None:
    """Text reads on its ground (4.5 to 1), marks stand out from theirs (3 to 1), in both themes."""
    for ink, ground in [("text", "page"), ("text", "card"), ("muted", "card"), ("muted", "page"), ("bad", "card")]:
        assert _contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    for ink, ground in [
        ("warn", "warn_ground"),
        ("accent", "card"),
        ("on_low", "low"),
        ("on_high", "high"),
        ("on_high", "other"),
    ]:
        assert _contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    for token in theme.SERIES:
        assert _contrast(colours[token[1:]], colours["card"]) >= 3, token
    assert theme.LIGHT.keys() == theme.DARK.keys()


def _contrast(first: str, second: str) -> float:
    """Contrast ratio of the web accessibility guidelines, 2.2, section 1.4.3."""

    def luminance(colour: str) -> float:
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)
