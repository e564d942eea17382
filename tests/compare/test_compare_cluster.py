"""Comparisons on the workers of a Dask cluster: the same document, and clear words where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from table_samples import small_table
from training_samples import job, timeless

from sartor.compare import workers
from sartor.compare.result import compare_table, compare_training
from sartor.errors import RequestError, SartorError
from sartor.storage import to_json

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A scheduler with two worker processes on this machine."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as found:
        yield found


@pytest.mark.slow
def test_trainings_on_a_cluster(cluster: Any, tmp_path: Path) -> None:
    """Whole searches on two workers give the document of one process, times aside."""
    there = compare_training(job(), ("ows",), 1, folder=tmp_path / "there", dask=cluster.scheduler_address)
    here = compare_training(job(), ("ows",), 1, folder=tmp_path / "here")
    assert timeless(there) == timeless(here)
    assert (tmp_path / "there" / "pieces" / "ows-0.json").exists()


def test_tables_on_a_cluster(cluster: Any) -> None:
    """The table half goes the same way."""
    asked: dict[str, Any] = {"budgets": {"macs": 1180}, "names": ("ows",), "queries": 12, "seeds": 2}
    there = compare_table(small_table(), **asked, dask=cluster.scheduler_address)
    assert to_json(there) == to_json(compare_table(small_table(), **asked))


def test_a_fault_comes_back_as_a_sentence(cluster: Any, tmp_path: Path) -> None:
    """What fails on a worker stops the comparison here, with the place of its log."""
    cluster_client = distributed.Client(cluster.scheduler_address, set_as_default=False)
    with cluster_client:
        cluster_client.run(_see_tests, str(Path(__file__).parent))
    with pytest.raises(SartorError, match="ZeroDivisionError") as raised:
        compare_training(job(), ("training_samples:Broken",), 1, folder=tmp_path / "c", dask=cluster.scheduler_address)
    assert not isinstance(raised.value, RequestError)


def _see_tests(folder: str) -> None:
    import sys

    sys.path.insert(0, folder)


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address without a scheduler is a wrong request, said at once."""
    monkeypatch.setattr(workers, "_PATIENCE", "1s")
    with pytest.raises(RequestError, match=r"--dask tcp://127\.0\.0\.1:9: no Dask scheduler"):
        compare_table(small_table(), {"macs": 1180}, ("random",), 5, 1, dask="tcp://127.0.0.1:9")


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install, where the package is missing."""
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(RequestError, match=r"sartor\[cluster\]"):
        compare_table(small_table(), {"macs": 1180}, ("random",), 5, 1, dask="tcp://127.0.0.1:9")
