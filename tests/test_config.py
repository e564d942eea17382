"""Job files: what is understood, and how everything that is wrong is said."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sartor.config import AugmentationSettings, Job, load_job
from sartor.data import Augmentation
from sartor.errors import RequestError
from sartor.pipeline.resolve import make_setting
from sartor.platforms import WEIGHTINGS, Platform
from sartor.run import RunFolder

EXAMPLE = Path(__file__).parents[1] / "examples" / "digits.yaml"
PLATFORMS: list[Any] = [{"name": "watch", "macs": "60k"}, {"name": "phone", "macs": 150000, "weight": 3}]


def job(**keys: Any) -> Job:
    return Job.from_dict({"platforms": PLATFORMS, **keys})


def problem(**keys: Any) -> str:
    """The message for a job with these keys."""
    with pytest.raises(RequestError) as caught:
        job(**keys)
    return str(caught.value)


def write(folder: Path, text: str, name: str = "job.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


# ---------------------------------------------------------------- what is understood


def test_only_platforms_are_needed() -> None:
    """Everything else has a default, and quantities are read exactly."""
    made = job()
    assert made.platforms == (Platform("watch", {"macs": 60000}), Platform("phone", {"macs": 150000}, weight=3))
    assert (made.space.name, made.method.name, made.data.source) == ("mobilenet_v1", "ows", "digits")
    assert (made.search.epochs, made.train.epochs, made.baselines, made.seed) == (50, 300, None, 0)


def test_short_and_long_forms_are_the_same() -> None:
    """``method: ows`` is ``method: {name: ows}``; likewise for the space and the data."""
    short = job(method="aows", space="mobilenet_v1", data="digits")
    assert short == job(method={"name": "aows"}, space={"name": "mobilenet_v1"}, data={"source": "digits"})


def test_resolved_is_plain_stable_and_complete() -> None:
    """The resolved configuration is JSON, names every option, and gives the same job and the same dictionary."""
    made = job(data={"augmentation": {"resized_crop": [0.5, 1]}, "path": "x"}, space={"levels": 5}, method="aows")
    resolved = made.resolved()
    assert json.loads(json.dumps(resolved)) == resolved
    assert Job.from_dict(resolved) == made and Job.from_dict(resolved).resolved() == resolved
    assert resolved["space"]["levels"] == 5 and resolved["space"]["divisor"] == 8
    assert resolved["method"]["temperature_knots"][0] == [0.2, 1.0]
    assert resolved["platforms"][0] == {"name": "watch", "weight": 1.0, "macs": 60000}
    assert resolved["data"]["augmentation"]["resized_crop"] == [0.5, 1.0]


def test_the_example_is_a_job() -> None:
    """The demo's job file is read, and its relative name comes from the file."""
    made = load_job(EXAMPLE)
    assert made.name == "digits" and [p.name for p in made.platforms] == ["watch", "phone", "tablet"]


def test_yaml_numbers_as_people_write_them(tmp_path: Path) -> None:
    """1e-4 is a number, which plain YAML 1.1 takes for text; the name is the file's."""
    made = load_job(write(tmp_path, "platforms: [{name: a, macs: 3e6}]\ntrain: {weight_decay: 1e-4}\n", "my job.yaml"))
    assert made.train.weight_decay == 1e-4 and made.platforms[0].budgets["macs"] == 3_000_000
    assert made.name == "my-job"


def test_paths_belong_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path is relative to the job file, and one given with --set to the current folder."""
    path = write(tmp_path, "platforms: [{name: a, macs: 1M}]\ndata: {source: folder, path: pictures}\n")
    assert load_job(path).data.path == tmp_path / "pictures"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_job(path, ["data.path=mine"]).data.path == tmp_path / "elsewhere" / "mine"


def test_augmentation_has_the_fields_of_the_data() -> None:
    """The settings of augmentation are those of ``sartor.data.Augmentation``, and make one."""
    assert {f.name: f.default for f in dataclasses.fields(AugmentationSettings)} == {
        f.name: f.default for f in dataclasses.fields(Augmentation)
    }
    settings = job(data={"augmentation": {"pad": 1, "cutout": 4}}).data
    assert settings.make_augmentation(None) == Augmentation(pad=1, cutout=4)  # type: ignore[arg-type]
    assert job(data={"augmentation": "none"}).data.make_augmentation(None) == Augmentation()  # type: ignore[arg-type]


def test_standard_augmentation_knows_the_pictures() -> None:
    """The standard augmentation comes from the pictures: digits are not mirrored."""
    from sartor.data import load

    standard = job().data.make_augmentation(load("digits").train)
    assert standard == Augmentation(pad=1, flip=False)


def test_weightings_of_the_paper() -> None:
    """A named weighting sets the weights of seven platforms, and is resolved into them."""
    seven = [{"name": f"p{i}", "macs": f"{i}M"} for i in range(1, 8)]
    made = Job.from_dict({"platforms": seven, "weighting": "RS"})
    assert tuple(p.weight for p in made.platforms) == WEIGHTINGS["RS"]
    assert Job.from_dict(made.resolved()) == made
    assert "is for 7 platforms, the job has 2" in problem(weighting="RS")
    seven[3]["weight"] = 2  # type: ignore[assignment]
    with pytest.raises(RequestError, match="also give their own"):
        Job.from_dict({"platforms": seven, "weighting": "RS"})


def test_the_space_takes_what_the_pictures_give() -> None:
    """Classes, size and colour come from the pictures; a job that says otherwise is refused."""
    space = job(space={"multiplier": 0.25}).space.create(num_classes=10, image_size=8, in_channels=1)
    assert (space.num_classes, space.image_size, space.in_channels) == (10, 8, 1)
    contradiction = job(space={"num_classes": 100}).space
    with pytest.raises(RequestError, match=r"space\.num_classes is 100, but the pictures have num_classes 10"):
        contradiction.create(num_classes=10, image_size=8, in_channels=1)


# ---------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"serch": {}}, "serch is not a known key (did you mean search?)"),
        ({"epochs": 5}, "did you mean search.epochs or train.epochs?"),
        ({"colour": 5}, "the top level knows name, data, space"),
        ({"search": {"epoch": 5}}, "search.epoch is not a known key (did you mean search.epochs?)"),
        ({"search": {"epochs": 0}}, "search.epochs is 0.0, allowed is more than 0"),
        ({"search": {"epochs": "5"}}, 'search.epochs is "5", allowed is a number'),
        ({"search": {"epochs": True}}, "search.epochs is true, allowed is a number"),
        ({"search": {"epochs": float("inf")}}, "allowed is a finite number"),
        ({"search": {"batch_size": 0}}, "search.batch_size is 0, allowed is at least 1"),
        ({"search": {"batch_size": 64.0}}, "allowed is a whole number"),
        ({"search": {"batch_size": 64, "micro_batch": 48}}, "a divisor of batch_size (64)"),
        ({"search": {"learning_rate": -0.1}}, "search.learning_rate is -0.1, allowed is at least 0"),
        ({"search": {"warmup_share": 1}}, "search.warmup_share is 1.0, allowed is at least 0 and less than 1"),
        ({"search": {"per_pictures": 0}}, "search.per_pictures is 0, allowed is at least 1"),
        ({"search": {"policy_batch_size": 0}}, "search.policy_batch_size is 0, allowed is at least 1"),
        ({"train": {"policy_batch_size": 64}}, "train.policy_batch_size is not a known key (did you mean"),
        ({"search": {"optimiser": "rmsprob"}}, "'sgd', 'rmsprop' or 'adam' (did you mean rmsprop?)"),
        ({"search": {"initialiser": "he"}}, "'he_fan_out' or 'tensorflow'"),
        ({"search": {"weight_decay_on": "biases"}}, "'all' or 'convolutions'"),
        ({"search": {"label_smoothing": 1}}, "search.label_smoothing is 1.0, allowed is at least 0 and less than 1"),
        ({"search": {"rmsprop_decay": 1}}, "search.rmsprop_decay is 1.0, allowed is at least 0 and less than 1"),
        ({"search": {"rmsprop_epsilon": 0}}, "search.rmsprop_epsilon is 0.0, allowed is more than 0"),
        ({"search": {"adam_decay": -0.1}}, "search.adam_decay is -0.1, allowed is at least 0 and less than 1"),
        ({"search": {"adam_epsilon": 0}}, "search.adam_epsilon is 0.0, allowed is more than 0"),
        ({"train": {"optimiser": "rmsprop"}}, "train.nesterov is true, allowed is true only with optimiser sgd"),
        ({"train": {"drop_path": 1}}, "train.drop_path is 1.0, allowed is at least 0 and less than 1"),
        ({"train": {"weight_average": 1}}, "train.weight_average is 1.0, allowed is at least 0 and less than 1"),
        ({"train": {"dropout_from_epochs": -1}}, "train.dropout_from_epochs is -1.0, allowed is at least 0"),
        ({"train": {"schedule": "cosin"}}, "'cosine' or 'linear' (did you mean cosine?)"),
        (
            {"train": {"momentum": 0}},
            "train.nesterov is true, allowed is true only with optimiser sgd and a momentum above 0",
        ),
        ({"train": {"dropout": 1}}, "less than 1"),
        ({"train": 3}, "train is 3, allowed is a mapping with epochs"),
        ({"seed": -1}, "seed is -1, allowed is at least 0"),
        ({"device": "gpu"}, "device is \"gpu\", allowed is 'auto', 'cpu' or 'cuda'"),
        ({"precision": "float16"}, "allowed is 'float32' or 'bfloat16'"),
        ({"threads": 0}, "threads is 0, allowed is at least 1"),
        ({"baselines": ["unifrom"]}, "did you mean uniform?"),
        ({"baselines": ["uniform", "uniform"]}, "every baseline once"),
        ({"name": "../x"}, "it names the run folder"),
        ({"data": "digit"}, "data source 'digit' is unknown"),
        ({"data": {"image_size": 4}}, "data.image_size is 4, allowed is at least 8"),
        ({"data": {"weights": 0.8, "selection": 0.3}}, "add up to more than 1"),
        ({"data": {"augmentation": {"flp": True}}}, "data.augmentation.flp is not a known key"),
        ({"data": {"augmentation": "mirror"}}, "'standard' or 'none'"),
        ({"space": "mobilenet_v2"}, "unknown space 'mobilenet_v2'"),
        ({"space": {"levls": 3}}, "space.levls is not a known key (did you mean space.levels?)"),
        ({"space": {"levels": "3"}}, 'space.levels is "3", allowed is a whole number'),
        ({"space": {"levels": 0}}, "at least one level"),
        ({"space": {"num_classes": 5}, "data": {"classes": 4}}, "space.num_classes is 5, but data.classes gives 4"),
        ({"method": "owz"}, "unknown method 'owz'; known are ows, aows, "),
        ({"method": {"windw": 1}}, "method.windw is not a known key (method ows) (did you mean method.window?)"),
        ({"method": {"window": 2}}, "method.window"),
        ({"evaluation": {"cloud": -1}}, "evaluation.cloud is -1, allowed is at least 0"),
        ({"export": {"onnx": "yes"}}, "allowed is true or false"),
        ({"platforms": []}, "platforms is [], allowed is a list"),
        ({"platforms": None}, "platforms is missing"),
        ({"platforms": [{"name": "watch"}]}, "platform 'watch' has no budget"),
        ({"platforms": [{"macs": "3M"}]}, "platforms.0.name is missing"),
        ({"platforms": [{"name": "watch", "macs": "3X"}]}, "unknown unit 'X'"),
        ({"platforms": [{"name": "watch", "macs": "3ms"}]}, "'ms' is a unit of time"),
        ({"platforms": [{"name": "watch", "mac": "3M"}]}, "did you mean platforms.watch.macs?"),
        ({"platforms": [{"name": "watch", "macs": "3M", "weight": 0}]}, "weight must be a positive number"),
        ({"platforms": [{"name": "a", "macs": 1}, {"name": "A", "macs": 2}]}, "share a file name"),
        ({"platforms": [{"name": "watch", "latency_ms": "3ms"}]}, "needs a device"),
    ],
)
def test_every_wrong_value_is_said(keys: dict[str, Any], words: str) -> None:
    """A wrong key or value gives the dotted key, what arrived, and what is allowed or meant."""
    assert words in problem(**keys)


def test_all_problems_at_once_with_their_lines(tmp_path: Path) -> None:
    """Everything that is wrong with a file is one message, with the file's name and the lines."""
    text = "platforms:\n  - {name: watch, macs: 3Q}\nsearch:\n  epoch: 5\n  batch_size: 0\nmethod: owz\n"
    with pytest.raises(RequestError) as caught:
        load_job(write(tmp_path, text))
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'job.yaml'} has 4 problems:")
    places = [re.match(r"  - (line \d+): ", line) for line in message.splitlines()[1:]]
    assert sorted(place[1] for place in places if place) == ["line 2", "line 4", "line 5", "line 6"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("platforms: [", "this is no YAML (line 1"),
        ("- a\n- b\n", "a job file is a mapping of keys to values, this one holds list"),
        ("seed: 1\nseed: 2\n", "line 2: seed stands twice"),
        ("a: &a [*a]\n", "nested more than"),
        ("? [a]\n: b\n", "a key must be a word"),
        ("", "platforms is missing"),
    ],
)
def test_files_that_are_no_jobs(tmp_path: Path, text: str, words: str) -> None:
    """A file that is no YAML or no mapping is said with its name, and a key given twice is not overwritten."""
    with pytest.raises(RequestError, match=re.escape(words)) as caught:
        load_job(write(tmp_path, text))
    assert "job.yaml" in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file, a folder and a picture in place of a job."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\x80")
    for name, words in (("absent.yaml", "no such job file"), (".", "a folder"), ("binary", "no text file")):
        with pytest.raises(RequestError, match=words):
            load_job(tmp_path / name)


# ---------------------------------------------------------------- --set


def test_overrides_reach_every_value() -> None:
    """Sections, defaults, short forms and list items by name or position can be set; values are YAML."""
    sets = ["search.epochs=5", "train.mode=standalone", "data.image_size=16", "platforms.watch.macs=70k"]
    sets += ["platforms.1.weight=9", "baselines=[random]", "threads=2", "train.learning_rate=1e-2", "method.window=1"]
    made = load_job(EXAMPLE, sets)
    assert made.search.epochs == 5 and made.train.mode == "standalone" and made.data.image_size == 16
    assert made.platforms[0].budgets["macs"] == 70_000 and made.platforms[1].weight == 9
    assert made.baselines == ("random",) and made.threads == 2 and made.train.learning_rate == 0.01
    assert made.method.settings.window == 1


@pytest.mark.parametrize("sets", [["method.name=random"], ["method=random"]])
def test_another_method_drops_the_old_settings(tmp_path: Path, sets: list[str]) -> None:
    """Switching the method or the space drops options that belong to the old one; naming the same keeps them."""
    text = (
        "platforms: [{name: a, macs: 3M}]\nmethod: {name: ows, window: 0.5}\nspace: {name: mobilenet_v1, levels: 3}\n"
    )
    path = write(tmp_path, text)
    assert load_job(path, sets).method.name == "random"
    kept = load_job(path, ["method.name=ows", "space=mobilenet_v1"])
    assert kept.method.settings.window == 0.5 and kept.space.options["levels"] == 3
    switched = load_job(path, ["space.image_size=16", "space.name=channel_bench_macro"])
    assert switched.space.name == "channel_bench_macro" and switched.space.options["image_size"] == 16


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("search.epochs", "expected a key and a value"),
        ("search.epochs=[", "no YAML"),
        ("search.epoch=5", "--set search.epoch: search.epoch is not a known key (did you mean search.epochs?)"),
        ("serch.epochs=5", "--set serch.epochs: serch is not a known key (did you mean search?)"),
        ("name.x=5", "single value"),
        ("platforms.wach.macs=5", "there is no item 'wach' (did you mean watch?); there are watch, phone, tablet"),
        ("platforms.3.macs=5", "there is no item '3'"),
        ("platforms.watch.macs=5Q", "--set platforms.watch.macs"),
        ("search.epochs=-1", "digits.yaml, --set search.epochs: search.epochs is -1.0, allowed is more than 0"),
    ],
)
def test_wrong_overrides(text: str, words: str) -> None:
    """An override that does not fit is said as what it is, not as an error of the file."""
    with pytest.raises(RequestError, match=re.escape(words)):
        load_job(EXAMPLE, [text])


def test_no_import_of_torch() -> None:
    """The configuration itself needs no torch; only a method's settings may."""
    script = "import sys, sartor.config; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_shares_of_one_never_exceed_the_pictures() -> None:
    """Shares that add up to one take every training picture, whatever rounding does; the run keeps them."""
    from sartor.data import make_index_sets
    from sartor.pipeline.resolve import _rest

    labels = np.arange(1435) % 10  # 0.8, 0.1 and 0.1 of it round to 1,436
    data = job().data
    sets = make_index_sets(labels, weights=_rest(data), policy=data.policy, selection=data.selection)
    assert len(sets.weights) + len(sets.policy) + len(sets.selection) == 1435
    assert _rest(job(data={"weights": 0.5}).data) == 0.5 and _rest(job(data={"weights": 100}).data) == 100


def test_setting_loads_the_job_and_keeps_its_index_sets(tmp_path: Path) -> None:
    """A job becomes pictures, space and index sets; the sets are drawn once, and other labels are refused."""
    made = load_job(EXAMPLE)
    with RunFolder.create(tmp_path / "run", made.resolved()) as folder:
        setting = make_setting(Job.from_resolved(folder.configuration), folder)
        assert setting.space.num_classes == 10 and setting.space.in_channels == 1
        before = (folder.path / "index_sets.json").read_bytes()
        make_setting(made, folder)
        assert (folder.path / "index_sets.json").read_bytes() == before
        changed = json.loads(before) | {"fingerprint": "0" * 16}
        folder.write_json("index_sets.json", changed)
        with pytest.raises(RequestError, match="other pictures or labels"):
            make_setting(made, folder)
