"""What an exported network says about itself: the card that travels in the metadata of its ONNX file."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sartor.errors import RequestError

FORMAT_VERSION = 1
PREFIX = "sartor."

ColourOrder = Literal["RGB", "grey"]
_CHANNELS = {"RGB": 3, "grey": 1}
# The one rule of sartor.data.decode: whole ratios average boxes, others are bilinear, area-aware.
RESIZE_FILTER = "box_or_bilinear"


def _version() -> str:
    """The version of the installed Sartor; a copy that was never installed has none."""
    try:
        return importlib.metadata.version("sartor")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """Everything a program needs to use an exported network without the run that made it.

    Each field is one key ``sartor.<field>`` of the ONNX ``metadata_props``, its value in JSON.

    Args:
        name: what the file is called in reports, usually the platform.
        mean, std: per channel, of pictures scaled to 0..1.
        image_size: height and width of the network's input in pixels.
        colour_order: ``"RGB"`` (3 channels) or ``"grey"`` (1 channel).
        class_names: one per logit, in the order of the logits.
        resize_size: a picture of another size is resized so that its shorter side has this many pixels, then
            its centre of ``image_size`` is taken; ``None`` stands for ``image_size``.
        resize_filter: names the filter of that resizing (``RESIZE_FILTER``), so that another one is refused.
        budgets: what the platform allowed, such as ``{"macs": 12200000}``.
        costs: what the network costs: ``macs``, ``params``, ``peak_memory_bytes``.
        architecture: the architecture in its JSON form.
        space: the name of the search space.

    Raises:
        RequestError: a field contradicts another, or is out of range.
    """

    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: int
    colour_order: ColourOrder
    class_names: tuple[str, ...]
    resize_size: int | None = None
    resize_filter: str = RESIZE_FILTER
    budgets: Mapping[str, float] = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)
    architecture: Mapping[str, Any] = field(default_factory=dict)
    space: str = ""
    sartor_version: str = field(default_factory=_version)
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            object.__setattr__(self, name, tuple(float(v) for v in getattr(self, name)))
        object.__setattr__(self, "class_names", tuple(str(name) for name in self.class_names))
        for problem in self._problems():
            raise RequestError(f"The model card of '{self.name}' is not usable: {problem}.")

    def _problems(self) -> list[str]:
        """Every contradiction in the card, in words."""
        if self.colour_order not in _CHANNELS:
            return [f"colour_order is {self.colour_order!r}; allowed are 'RGB' and 'grey'"]
        wanted = self.channels
        checks = [
            (len(self.mean) == wanted, f"mean has {len(self.mean)} values for {wanted} channels"),
            (len(self.std) == wanted, f"std has {len(self.std)} values for {wanted} channels"),
            (all(value > 0 for value in self.std), f"std must be positive, got {list(self.std)}"),
            (self.image_size >= 1, f"image_size must be at least 1 pixel, got {self.image_size}"),
            (
                self.shorter_side >= self.image_size,
                f"resize_size {self.shorter_side} is smaller than image_size {self.image_size}",
            ),
            (
                self.resize_filter == RESIZE_FILTER,
                f"resize_filter is {self.resize_filter!r}; this Sartor knows {RESIZE_FILTER!r}",
            ),
            (len(self.class_names) >= 1, "class_names is empty"),
        ]
        return [problem for ok, problem in checks if not ok]

    @property
    def channels(self) -> int:
        """Number of channels of the network's input."""
        return _CHANNELS[self.colour_order]

    @property
    def shorter_side(self) -> int:
        """Pixels of the shorter side after resizing, before the centre is taken."""
        return self.image_size if self.resize_size is None else self.resize_size

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape ``(channels, height, width)`` of one picture as the network takes it."""
        return (self.channels, self.image_size, self.image_size)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON; ``channels`` is added for readers that know nothing of Sartor."""
        data = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in data.items()}
        plain.update({k: dict(v) for k, v in data.items() if isinstance(v, Mapping)})
        return plain | {"channels": self.channels}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ModelCard:
        """The card that ``to_dict`` described; keys it does not know are ignored."""
        known = {f.name: f for f in dataclasses.fields(cls)}
        version = data.get("format_version", FORMAT_VERSION)
        if version != FORMAT_VERSION:
            raise RequestError(
                f"The model card has format_version {version}; this Sartor ({_version()}) reads "
                f"{FORMAT_VERSION}. Use the Sartor that wrote the file, or export it again."
            )
        missing = [
            name
            for name, f in known.items()
            if name not in data and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        ]
        if missing:
            raise RequestError(f"The model card lacks {', '.join(missing)}. Export the network again.")
        try:
            return cls(**{name: value for name, value in data.items() if name in known})
        except (TypeError, ValueError) as error:
            raise RequestError(f"The model card holds a value of the wrong kind ({error}).") from error

    def to_metadata(self) -> dict[str, str]:
        """The ``metadata_props`` of the ONNX file: ``sartor.<field>`` -> JSON."""
        return {PREFIX + key: json.dumps(value) for key, value in self.to_dict().items()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], source: object) -> ModelCard:
        """The card in the metadata of ``source`` (a path, for the error text).

        Raises:
            RequestError: the metadata holds no card of Sartor, or one that cannot be read.
        """
        entries = {k[len(PREFIX) :]: v for k, v in metadata.items() if k.startswith(PREFIX)}
        if not entries:
            raise RequestError(
                f"{source} is an ONNX file without a Sartor model card, so its class names, normalisation "
                "and input size are unknown. Use a file written by 'sartor export'."
            )
        try:
            return cls.from_dict({key: json.loads(value) for key, value in entries.items()})
        except (RequestError, json.JSONDecodeError) as error:
            raise RequestError(f"{source}: {error}") from error
