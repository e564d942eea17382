"""The recipe of the random networks' latencies prints what its header says."""

from __future__ import annotations

import pytest

from tunas import random_statistics


def test_the_table_of_the_header(capsys: pytest.CaptureFixture[str]) -> None:
    """Every line that the command prints stands in its header, and every space has one."""
    assert random_statistics.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert random_statistics.__doc__ is not None
    assert all(line in random_statistics.__doc__ for line in lines)
    assert [line.split("|")[1].strip() for line in lines[2:]] == list(random_statistics.WINDOWS)
