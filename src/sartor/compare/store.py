"""The folder of a comparison: a file per search, and one that says of which comparison they are."""

from __future__ import annotations

import json
from pathlib import Path

from sartor.compare.workers import Piece, Plain, Question
from sartor.errors import RequestError, SartorError
from sartor.run import CONFIG, differences
from sartor.storage import storage_errors, to_json, write_atomically

SETTING, PIECES = "setting.json", "pieces"


class Store:
    """Searches that are done; without a folder nothing is kept.

    Raises:
        RequestError: the folder holds a run, or another comparison; says in what.
    """

    def __init__(self, folder: Path | None, question: Question) -> None:
        self.folder, self.question = folder, question
        if folder is None:
            return
        own: Plain = json.loads(to_json(question.identity()))
        path = folder / SETTING
        with storage_errors(path):
            known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        if known is None and (folder / CONFIG).exists():
            raise RequestError(f"{folder} holds a run; give a comparison a folder of its own with --out")
        if known is None:
            write_atomically(path, (to_json(own) + "\n").encode())
        elif different := differences(known, own):
            raise RequestError(
                f"{folder} holds another comparison: {'; '.join(different[:5])}. Give another --out, or the same "
                "request to go on with it"
            )

    def read(self, piece: Piece) -> Plain | None:
        """A search that is done, None before; one under other settings of its method is of another version of it."""
        path = self._path(piece)
        if path is None or not path.exists():
            return None
        try:
            with storage_errors(path):
                kept: Plain = json.loads(path.read_text(encoding="utf-8"))
            return kept.get("found") if kept.get("settings") == self.question.settings(piece[0]) else None
        except (ValueError, AttributeError):
            raise SartorError(f"{path}: this is no result of a search; delete it, and it is run again") from None

    def write(self, piece: Piece, found: Plain) -> None:
        """Keeps a search."""
        path = self._path(piece)
        if path is not None:
            content = {"settings": self.question.settings(piece[0]), "found": found}
            write_atomically(path, (to_json(content, indent=None) + "\n").encode())

    def _path(self, piece: Piece) -> Path | None:
        return None if self.folder is None else self.folder / PIECES / f"{file_name(piece)}.json"


def file_name(piece: Piece) -> str:
    """What a search is called in a folder."""
    return f"{piece[0].replace(':', '-')}-{piece[1]}"
