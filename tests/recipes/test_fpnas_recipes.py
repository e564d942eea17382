"""The recipes of FP-NAS at toy size: what they write, and that their landscape is what they say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fpnas import landscape, table_oracle
from fpnas.rows import landscape_rows, table_rows
from sartor import spaces


def test_losses_of_the_landscape_spread_as_stated() -> None:
    """Random networks spread by 0.35 nats around 0, and every variable of a row matters."""
    space = spaces.create("fbnetv2_f")
    losses = landscape.Landscape(space, seed=0)
    rows = space.sample(20_000, np.random.default_rng(1))
    assert losses(rows).std() == pytest.approx(0.35, rel=0.05)
    assert losses(rows).mean() == pytest.approx(0.0, abs=0.02)
    for d in range(5):
        other = rows[:1].copy()
        other[0, d] = (other[0, d] + 1) % space.sizes[d]
        assert losses(other)[0] != losses(rows[:1])[0]


def test_a_search_on_the_landscape() -> None:
    """Uniform until epoch 45, 14 samples a step; then the entropy falls, and all samples are counted."""
    found = landscape.run(landscape.Trial("fbnetv2_f", "factorised", seed=0, steps=1))
    assert len(found["entropies_nats"]) == 315
    assert found["entropies_nats"][44] == pytest.approx(56.25, abs=0.01)
    assert found["entropies_nats"][-1] < 56
    assert found["samples_per_step"][0] == 14
    assert found["samples"] == sum(found["samples_per_step"])


def test_rows_of_the_overview_come_from_the_figures() -> None:
    """Means over seeds, beside the paper's."""
    curve = [50.0] * 315
    systems = ["joint", "factorised", "mixed, epoch 80", "mixed, epoch 150", "joint, fixed 14"]
    trials = [
        {"space": "fbnetv2_f", "system": s, "seed": seed, "entropies_nats": curve, "samples": 1000 * (i + 1 + seed)}
        for i, s in enumerate(systems)
        for seed in (0, 1)
    ]
    rows = landscape_rows({"trials": trials})
    assert rows[0][2] == "50.0, 1.5, 73%" and "2 seeds" in rows[0][3]


def test_the_table_recipe_writes_what_it_measured(shared_data: Path, tmp_path: Path) -> None:
    """A toy run leaves figures, a table and a picture; answers are judged by the truth."""
    assert (
        table_oracle.main(["--seeds", "2", "--rounds", "4", "--folder", str(shared_data), "--out", str(tmp_path)]) == 0
    )
    found = json.loads((tmp_path / "fpnas_table.json").read_text())
    fixed = found["systems"]["fixed 14"]
    assert len(fixed) == 6 and all(f["samples"] == 14 * 4 and f["regret"] >= 0 for f in fixed)
    assert "fixed 14" in (tmp_path / "fpnas_table.md").read_text()
    assert (tmp_path / "fpnas_table.png").stat().st_size > 10_000
    assert len(table_rows(found)) == 1


def test_without_the_table_the_recipe_says_what_to_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence and exit code 2."""
    assert table_oracle.main(["--folder", str(tmp_path)]) == 2
    assert "SARTOR_SHARED_DATA" in capsys.readouterr().err
