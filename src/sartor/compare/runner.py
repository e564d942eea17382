"""All searches of a comparison: a piece per method and seed, over processes, kept in a folder where one is given."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from sartor.compare import methods
from sartor.compare.oracle import Oracle, Searched, search
from sartor.errors import RequestError, SartorError
from sartor.progress import Progress
from sartor.storage import storage_errors, to_json, write_atomically

SETTING, PIECES = "setting.json", "pieces"
Piece = tuple[str, int]
Found = dict[str, list[Searched]]

# The question of a worker process, set once when it starts.
_ORACLE: Oracle | None = None


def applicable(oracle: Oracle, names: Sequence[str]) -> dict[str, str]:
    """Method -> why it cannot be compared here; those that can are left out."""
    reasons = {}
    for name in names:
        reason = methods.not_applicable(name)
        if reason is None:
            try:
                methods.make(name, oracle, seed=0)
            except RequestError as error:
                reason = str(error)
        if reason is not None:
            reasons[name] = reason
    return reasons


def run(
    oracle: Oracle,
    names: Sequence[str],
    seeds: int,
    processes: int = 1,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> Found:
    """Method -> its searches by seed. What ``folder`` holds of the same comparison is not run again.

    Raises:
        RequestError: the folder holds another comparison.
    """
    store = _Store(folder, oracle)
    pieces = [(name, seed) for seed in range(seeds) for name in names]
    found = {piece: kept for piece in pieces if (kept := store.read(piece)) is not None}
    missing = [piece for piece in pieces if piece not in found]
    with (progress or Progress()).task("compare", len(pieces), len(found)) as advance:
        for piece, searched in _searches(oracle, missing, processes):
            found[piece] = searched
            store.write(piece, searched)
            advance(1)
    return {name: [found[name, seed] for seed in range(seeds)] for name in names}


def _searches(oracle: Oracle, pieces: Sequence[Piece], processes: int) -> Iterator[tuple[Piece, Searched]]:
    if min(processes, len(pieces)) <= 1:
        for piece in pieces:
            yield piece, _search(oracle, piece)
        return
    with ExitStack() as stack:
        # Fresh processes, so that nothing depends on what this one has done; the table travels to each once.
        context = multiprocessing.get_context("spawn")
        pool = stack.enter_context(
            ProcessPoolExecutor(min(processes, len(pieces)), context, initializer=_start, initargs=(oracle,))
        )
        stack.callback(pool.shutdown, cancel_futures=True)
        yield from zip(pieces, pool.map(_search_here, pieces), strict=True)


def _search(oracle: Oracle, piece: Piece) -> Searched:
    name, seed = piece
    return search(oracle, methods.make(name, oracle, seed), seed)


def _start(oracle: Oracle) -> None:
    global _ORACLE
    _ORACLE = oracle


def _search_here(piece: Piece) -> Searched:
    assert _ORACLE is not None  # the pool's initialiser ran
    return _search(_ORACLE, piece)


class _Store:
    """A file per piece, and one that says of which comparison they are."""

    def __init__(self, folder: Path | None, oracle: Oracle) -> None:
        self.folder, self.queries = folder, oracle.queries
        if folder is None:
            return
        own = {
            "table": hashlib.sha256(oracle.table.choices.tobytes() + oracle.table.accuracy.tobytes()).hexdigest(),
            "budget": dict(oracle.budgets),
            "queries": oracle.queries,
            "noise": oracle.noise_points,
        }
        path = folder / SETTING
        with storage_errors(path):
            known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        if known is None:
            write_atomically(path, (to_json(own) + "\n").encode())
        elif known != json.loads(to_json(own)):
            different = [key for key in own if known.get(key) != json.loads(to_json(own[key]))]
            raise RequestError(
                f"{folder} holds a comparison with another {' and '.join(different)}; give another --out, or the same "
                "request to go on with it"
            )

    def read(self, piece: Piece) -> Searched | None:
        path = self._path(piece)
        if path is None or not path.exists():
            return None
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept.pop("settings") != self._settings(piece):  # of another version of the method
                return None
            return Searched(**{**kept, "curve": tuple(kept["curve"]), "notes": tuple(kept["notes"])})
        except (ValueError, KeyError, TypeError):
            raise SartorError(f"{path}: this is no result of a search; delete it, and it is run again") from None

    def write(self, piece: Piece, searched: Searched) -> None:
        path = self._path(piece)
        if path is not None:
            content = {**asdict(searched), "settings": self._settings(piece)}
            write_atomically(path, (to_json(content, indent=None) + "\n").encode())

    def _settings(self, piece: Piece) -> str:
        return repr(methods.settings_for(piece[0], self.queries))

    def _path(self, piece: Piece) -> Path | None:
        name = piece[0].replace(":", "-")
        return None if self.folder is None else self.folder / PIECES / f"{name}-{piece[1]}.json"
