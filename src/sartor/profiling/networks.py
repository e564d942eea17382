"""Times whole networks as they are shipped, with the functions that ``sartor profile`` measures with.

A profile predicts what a network takes; this says what it does take, on the machine that it runs on. Networks are
visited in turn, warmed up at every visit, and a call counts with all that it takes, the fixed cost of calling included.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sartor.environment import now
from sartor.profiling import runner, runtimes
from sartor.profiling.estimates import estimate, noise, visits_of
from sartor.profiling.runner import Schedule, Timer
from sartor.profiling.session import open_timings
from sartor.progress import Progress
from sartor.storage import storage_errors

if TYPE_CHECKING:
    from sartor.blueprint import Blueprint
    from sartor.profiling.runner import Call
    from sartor.profiling.runtimes import Runtime

Clock = Callable[[], float]
MakeTimer = Callable[[str, int], Callable[[Sequence["Call"]], list[list[int]]]]


@dataclass(frozen=True)
class Shipped:
    """A network as it is shipped.

    Args:
        onnx: its exported file.
        blueprint: its layers, at the size of pictures that it is shipped for.
        load: makes the trained module, for runtimes that read no ONNX.
    """

    onnx: Path
    blueprint: Blueprint
    load: Callable[[], Any]


@dataclass(frozen=True)
class Measured:
    """What a network takes.

    ``ms`` is the lower quartile over ``visits``, each the lower quartile of its samples (as everywhere in a profile);
    ``noise`` the share by which the odd visits differ from the even ones, None with a single visit.
    """

    ms: float
    noise: float | None
    visits: int
    clock: str
    runtime: Mapping[str, str]
    date: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Bench:
    """The machine that networks are measured on, and how; by default this one.

    Args:
        machine: its processor, system and architecture.
        runtime: opens a runtime by name, threads and batch.
        timer: makes what times calls, from the name of a clock and the number of samples.
        clock: seconds, by default those on the wall.
    """

    machine: Mapping[str, Any]
    runtime: Callable[[str, int, int], Runtime] = runtimes.create
    timer: MakeTimer = Timer
    clock: Clock | None = None

    @classmethod
    def here(cls) -> Bench:
        """This machine."""
        return cls(runner.machine())

    def measure(
        self,
        networks: Mapping[str, Shipped],
        runtime: Runtime,
        timings: Path,
        *,
        seconds: float,
        repeats: int = 15,
        progress: Progress | None = None,
    ) -> dict[str, Measured]:
        """Times every network for about ``seconds``, in turn with the others; samples are kept in ``timings``.

        After an interruption the same call goes on from them.

        Raises:
            RequestError: the file holds timings of other networks, another runtime or machine, or cannot be written.
        """
        header = {
            "plan": _digest(networks),
            "runtime": {"name": runtime.name, "version": runtime.version},
            "threads": runtime.threads,
            "clock": runtime.clock,
            "machine": dict(self.machine),
            "date": now(),
        }
        total = seconds * len(networks)
        with storage_errors(timings):
            book = open_timings(timings, header)
            with (progress or Progress()).task(_title(runtime), total, min(book.seconds, total)) as advance:
                runner.measure(
                    lambda name: runtime.open_shipped(networks[name]),
                    book,
                    self.timer(runtime.clock, repeats),
                    Schedule(list(networks), total, essential=len(networks)),
                    advance=advance,
                    **({} if self.clock is None else {"now": self.clock}),
                )
        visits = visits_of(book.groups)
        return {
            name: Measured(
                ms=estimate(visits[name]) / 1e6,
                noise=noise(visits, [name], runtime.clock)["network_median"],
                visits=len(visits[name]),
                clock=runtime.clock,
                runtime=book.header["runtime"],
                date=book.header["date"],
            )
            for name in networks
        }


def same_machine(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two descriptions are of the same processor, system and architecture; an empty one is of none."""
    parts = ("cpu", "system", "architecture")
    return all(one.get(part) and one.get(part) == other.get(part) for part in parts)


def _title(runtime: Runtime) -> str:
    return f"measuring in {runtime.name} (seconds)"


def _digest(networks: Mapping[str, Shipped]) -> str:
    """Timings belong to names and files."""
    found = hashlib.sha256()
    for name, network in networks.items():
        found.update(name.encode() + b"\0" + hashlib.sha256(network.onnx.read_bytes()).digest())
    return found.hexdigest()[:16]
