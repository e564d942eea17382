"""``sartor compare --table``: one JSON document, exit codes, and files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from table_samples import arrays

from sartor.cli import main
from sartor.compare.table import write_table


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A table's file."""
    given = arrays()
    write_table(tmp_path / "t.npz", given["choices"], given["accuracy"], {"macs": given["macs"]})
    return tmp_path / "t.npz"


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["compare", *words])
    return int(end.value.code or 0)


def test_json(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The document alone on stdout, exit code 0; the same again byte by byte."""
    words = ["--table", str(file), "--budget", "macs=1.18k", "--methods", "ows,ms_ranas", "--queries", "10"]
    texts = []
    for processes in ("1", "2"):
        assert run(*words, "--seeds", "2", "--processes", processes, "--json") == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    found = json.loads(texts[0])
    assert list(found["methods"]) == ["ows", "ms_ranas", "random"] and found["budget"] == {"macs": 1180}


def test_people_read_a_table_and_files(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Means with intervals, what is not applicable and why; pictures and rows in the folder."""
    pytest.importorskip("vl_convert")
    out = tmp_path / "out"
    words = ["--table", str(file), "--budget", "macs=1180", "--methods", "ows,ms_ranas", "--queries", "10"]
    assert run(*words, "--seeds", "2", "--processes", "1", "--out", str(out)) == 0
    text = capsys.readouterr().out
    assert "10 queries, 2 seeds" in text and "ms_ranas: not applicable: it learns by the gradient" in text
    assert "100%" in text and " to " in text
    assert (out / "regret.png").read_bytes()[:4] == b"\x89PNG"
    page = (out / "report.html").read_text()
    found = json.loads((out / "comparison.json").read_text())
    assert f"{found['methods']['ows']['regret_mean']:.3f}" in page and "not applicable: it learns" in page
    lines = (out / "searches.csv").read_text().splitlines()
    assert lines[0].startswith("method,seed,regret_points") and len(lines) == 1 + 2 * 2
    assert found["seeds"] == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--budget", "macs=1"], "cheapest row"),
        (["--budget", "params=1"], "no such cost column"),
        (["--budget", "macs=1180", "--methods", "tuns"], "did you mean 'tunas'"),
        (["--budget", "macs=1180", "--queries", "1000"], "72 rows"),
    ],
)
def test_wrong_requests_exit_with_2(
    file: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2; said in one paragraph, without a traceback, as JSON where that was asked for."""
    assert run("--table", str(file), *words) == 2
    captured = capsys.readouterr()
    assert said in captured.err and "Traceback" not in captured.err and captured.out == ""
    assert run("--table", str(file), *words, "--json") == 2
    assert said in json.loads(capsys.readouterr().out)["error"]
