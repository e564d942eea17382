"""What a run ran on: versions, machine, threads and source revision, written beside its results."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import sartor

_PACKAGES = ("torch", "numpy", "pillow", "pydantic", "onnx", "onnxscript", "onnxruntime", "altair")


def describe(*, threads: int | None = None, gpu: bool = True) -> dict[str, Any]:
    """The environment as plain data; ``threads`` is what the run may use (None: all cores).

    ``gpu`` asks torch for the accelerator's name, which imports torch.
    """
    return {
        "date": now(),
        "sartor": sartor.__version__,
        "commit": source_commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cores": usable_cores(),
        "threads": threads or usable_cores(),
        "memory_bytes": _memory_bytes(),
        "gpu": _gpu_name() if gpu else None,
        "packages": {name: version for name in _PACKAGES if (version := _version(name)) is not None},
    }


def now() -> str:
    """The local date and time with its offset, such as 2026-01-31T12:00:00+00:00."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


def usable_cores() -> int:
    """Cores that this process may use, which in a container can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def source_commit() -> str | None:
    """The git commit of Sartor's own source, with ``-dirty`` where files were changed; None if it is not in git."""
    folder = Path(sartor.__file__).parent
    # An installed package may lie inside a repository of the user's, whose commit would say nothing about Sartor.
    if _git(folder, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    commit = _git(folder, "rev-parse", "HEAD")
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no", ".")
    return commit and commit + ("-dirty" if changed else "")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _gpu_name() -> str | None:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None
