"""The commands. Whatever is heavy is imported inside the command that needs it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

import sartor
from sartor.cli import latencies
from sartor.cli.outcome import FAILED, SaidError, error_log, guarded, print_json, results_only
from sartor.errors import RequestError, VerificationError

STAGES = ("search", "train", "export", "measure", "report")

app = App(
    name="sartor",
    help="Cuts neural networks to measure: one search, one network for every platform and its budget.",
    version=sartor.__version__,
    help_on_error=False,
    suppress_keyboard_interrupt=False,
)


@Parameter(name="*")
@dataclass(frozen=True)
class Common:
    """Options of every command."""

    json: Annotated[bool, Parameter(negative="", help="Print one JSON document on stdout and nothing else.")] = False
    quiet: Annotated[bool, Parameter(negative="", help="Show no progress.")] = False
    verbose: Annotated[bool, Parameter(negative="", help="Print progress lines where there is no terminal.")] = False
    traceback: Annotated[bool, Parameter(negative="", help="Show the traceback of an error.")] = False


RunOrJob = Annotated[Path, Parameter(help="A job file, or the folder of a run to go on with.")]
Out = Annotated[Path | None, Parameter(help="The run folder (default: runs/ and the job's name).")]
Overrides = Annotated[
    list[str] | None,
    Parameter(name="--set", negative="", help="Override a value of the job: --set search.epochs=5. May be repeated."),
]


@app.command
def run(job: RunOrJob, /, *, out: Out = None, overrides: Overrides = None, common: Common = Common()) -> None:
    """Run a whole job: search, train, export, measure, report. After a crash the same command goes on."""
    _run_stages(job, STAGES, out, overrides, common)


@app.command
def search(job: RunOrJob, /, *, out: Out = None, overrides: Overrides = None, common: Common = Common()) -> None:
    """Only search: one architecture for every platform."""
    _run_stages(job, ("search",), out, overrides, common)


@app.command
def train(job: RunOrJob, /, *, out: Out = None, overrides: Overrides = None, common: Common = Common()) -> None:
    """Only train what the search found, with the baselines."""
    _run_stages(job, ("train",), out, overrides, common)


@app.command
def export(job: RunOrJob, /, *, out: Out = None, overrides: Overrides = None, common: Common = Common()) -> None:
    """Only export the trained networks, with proof that the files agree and how fast they are."""
    _run_stages(job, ("export",), out, overrides, common)


@app.command
def measure(job: RunOrJob, /, *, out: Out = None, overrides: Overrides = None, common: Common = Common()) -> None:
    """Only measure exported networks with a latency budget; a miss is solved, trained and exported again, once."""
    _run_stages(job, ("measure",), out, overrides, common)


@app.command
def report(job: RunOrJob, /, *, out: Out = None, overrides: Overrides = None, common: Common = Common()) -> None:
    """Only write the report."""
    _run_stages(job, ("report",), out, overrides, common)


@app.command
def spaces(
    name: Annotated[str | None, Parameter(help="A space; without it all spaces are listed.")] = None,
    /,
    *,
    option: Annotated[
        list[str] | None,
        Parameter(negative="", help="An option of the space: --option image_size=224. May be repeated."),
    ] = None,
    common: Common = Common(),
) -> None:
    """Show what can be searched: decisions, exact counts, cheapest and dearest networks, known networks."""
    from sartor.cli import describe, tables

    if name is None:
        if option:
            raise RequestError("--option belongs to one space: sartor spaces NAME --option image_size=224")
        rows = describe.all_spaces()
        print_json({"spaces": rows}) if common.json else tables.print_spaces(rows)
        return
    space = describe.space(name, option or [])
    print_json(space) if common.json else tables.print_space(space)


@app.command
def pick(
    folder: Annotated[Path, Parameter(name="RUN", help="The folder of a run whose search is done.")],
    /,
    *,
    macs: Annotated[str | None, Parameter(help="The most MACs, such as 12M.")] = None,
    params: Annotated[str | None, Parameter(help="The most parameters, such as 500k.")] = None,
    peak_memory_bytes: Annotated[str | None, Parameter(help="The most peak memory, such as 512KiB.")] = None,
    latency_ms: Annotated[str | None, Parameter(help="The most predicted latency, such as 80ms.")] = None,
    device: Annotated[str | None, Parameter(help="The device of that latency (default: the run's).")] = None,
    latency_margin: Annotated[
        float | None,
        Parameter(help="Share by which predictions may be too low (default: the run's, else the device's)."),
    ] = None,
    name: Annotated[str | None, Parameter(help="Name of the platform (default: from its budgets).")] = None,
    train: Annotated[bool, Parameter(negative="", help="Also train and export it.")] = False,
    common: Common = Common(),
) -> None:
    """Pick a network for another budget from a finished search, at once."""
    from sartor.platforms import Platform
    from sartor.quantities import parse
    from sartor.run import RunFolder

    given = {"macs": macs, "params": params, "peak_memory_bytes": peak_memory_bytes, "latency_ms": latency_ms}
    budgets: dict[str, Any] = {kind: value for kind, value in given.items() if value is not None}
    if not budgets:
        raise RequestError("pick needs a budget, such as --macs 12M")
    if device is not None and latency_ms is None:
        raise RequestError(f"--device {device} belongs to a latency: give --latency-ms too")
    if latency_margin is not None and latency_ms is None:
        raise RequestError(f"--latency-margin {latency_margin:g} belongs to a latency: give --latency-ms too")
    for kind, value in budgets.items():
        parse(kind, value)
    with RunFolder.reopen(folder, lock=train, progress=_progress(common)) as opened, error_log(folder), results_only():
        from sartor.pipeline import pick as pick_network

        if latency_ms is not None:
            device = device or latencies.device_of(opened)
            latency_margin = latencies.margin_of(opened, device) if latency_margin is None else latency_margin
        platform = Platform(name or _platform_name(budgets), budgets, device=device, latency_margin=latency_margin)
        found = pick_network(opened, platform, train)
    from sartor.cli import tables

    print_json(found) if common.json else tables.print_pick(found, platform)


@app.command
def profile(
    space: Annotated[str | None, Parameter(help="A space (not needed with --collect).")] = None,
    /,
    *,
    out: Annotated[Path | None, Parameter(help="The table, T.json; samples and a plot are named after it.")] = None,
    option: Annotated[
        list[str] | None,
        Parameter(negative="", help="An option of the space: --option image_size=96. May be repeated."),
    ] = None,
    runtime: Annotated[str, Parameter(help="onnxruntime, pytorch or openvino.")] = "onnxruntime",
    threads: Annotated[int, Parameter(help="Threads that compute one prediction.")] = 1,
    batch: Annotated[int, Parameter(help="Pictures of one call.")] = 1,
    minutes: Annotated[float, Parameter(help="How long to measure.")] = 12.0,
    predictor: Annotated[str, Parameter(help="table (of blocks), pairwise or linear (fitted to networks).")] = "table",
    held_out: Annotated[int, Parameter(help="Networks that judge the table.")] = 100,
    corrections: Annotated[int, Parameter(help="Networks that correct the table.")] = 60,
    seed: Annotated[int, Parameter(help="Of the networks' samples and of all orders.")] = 0,
    bundle: Annotated[
        Path | None, Parameter(help="Write a folder that measures another device, in place of --out.")
    ] = None,
    collect: Annotated[Path | None, Parameter(help="Make the table from a bundle that was run.")] = None,
    common: Common = Common(),
) -> None:
    """Measure how long a space's networks take on this machine, or on another one, as a table for latency budgets."""
    from sartor.cli import profile as commands

    if (out is None) == (bundle is None):
        raise RequestError("profile needs a table to write, --out T.json, or a folder to make, --bundle FOLDER")
    if bundle is not None and collect is not None:
        raise RequestError("--bundle makes a folder and --collect reads one that was run: give one of them")
    if space is None and collect is None:
        raise RequestError("profile needs a space: sartor profile mobilenet_v1 --out T.json")
    if bundle is not None and runtime != "onnxruntime":
        raise RequestError(f"--runtime {runtime}: a bundle is measured in onnxruntime")
    with results_only():
        settings = commands.settings_of(predictor, minutes, held_out, corrections, seed)
        progress = _progress(common)
        if bundle is not None:
            assert space is not None
            commands.make_bundle(space, option or [], bundle, settings, threads, batch, progress)
            found: dict[str, Any] = {
                "bundle": str(bundle),
                "next": f"copy {bundle} to the device; there: python run.py",
            }
        else:
            assert out is not None
            if collect is not None:
                document = commands.collect(space, collect, out)
            else:
                assert space is not None
                document = commands.measure_here(space, option or [], out, settings, runtime, threads, batch, progress)
            found = commands.summary(document, out)
    if common.json:
        print_json(found)
    elif bundle is not None:
        print(f"{bundle}: ready. {found['next']}, then here: sartor profile --collect {bundle} --out T.json")
    else:
        commands.print_summary(found)


@app.command
def predict(
    file: Annotated[Path, Parameter(help="An exported ONNX file.")],
    pictures: Annotated[list[Path], Parameter(help="Picture files.", negative="")],
    /,
    *,
    top: Annotated[int, Parameter(help="How many classes to show.")] = 5,
    common: Common = Common(),
) -> None:
    """Say what an exported network sees in pictures."""
    from sartor.cli import tables
    from sartor.export import predict as predict_pictures

    with results_only():
        predictions = [p.to_dict() for p in predict_pictures(file, pictures, top)]
    print_json({"predictions": predictions}) if common.json else tables.print_predictions(predictions)


@app.command
def compare(
    job: Annotated[Path | None, Parameter(help="A job file: methods are compared by whole runs of it.")] = None,
    /,
    *,
    table: Annotated[
        Path | None, Parameter(help="In place of a job, a table of trained architectures (.npz, docs/methods.md).")
    ] = None,
    budget: Annotated[
        list[str] | None,
        Parameter(negative="", help="Of a table: --budget macs=12M. May be repeated; all are met."),
    ] = None,
    methods: Annotated[str | None, Parameter(help="Methods, with commas between them (default: all).")] = None,
    seeds: Annotated[int | None, Parameter(help="Whole searches per method (default: 3; on a table 20).")] = None,
    queries: Annotated[
        int | None, Parameter(help="Of a table: accuracies that each search may look at (default: 300).")
    ] = None,
    noise: Annotated[
        float | None, Parameter(help="Of a table: noise on every look, in points of accuracy (std, default: 0).")
    ] = None,
    overrides: Overrides = None,
    processes: Annotated[int | None, Parameter(help="Processes to share the work (default: one per core).")] = None,
    dask: Annotated[
        str | None, Parameter(help="The address of a Dask scheduler, whose workers do the work: tcp://host:8786.")
    ] = None,
    out: Annotated[
        Path | None,
        Parameter(help="The folder, from which it goes on (default for a job: runs/compare- and its name)."),
    ] = None,
    common: Common = Common(),
) -> None:
    """Compare methods with random search at equal cost, by real training or on a table of known architectures."""
    from sartor.cli import compare as commands

    asked = commands.Asked(job, table, budget, methods, queries, noise, seeds, overrides, processes, dask, out)
    commands.compare(asked, common.json, _progress(common))


def main(tokens: Sequence[str] | None = None) -> None:
    """Runs a command line (default: the process's own) and exits with its code."""
    words = list(sys.argv[1:] if tokens is None else tokens)
    options = words[: words.index("--")] if "--" in words else words
    code = guarded(
        lambda: app(words, exit_on_error=False, print_error=False, result_action="return_value"),
        as_json="--json" in options,
        show_traceback="--traceback" in options,
    )
    sys.exit(code)


def _run_stages(
    job: Path, stages: Sequence[str], out: Path | None, overrides: list[str] | None, common: Common
) -> None:
    if int(os.environ.get("RANK", "0")) > 0:
        _assist(job, stages, out, overrides)
        return
    with _open(job, out, overrides, common) as folder, error_log(folder.path):
        with results_only():
            from sartor import world
            from sartor.pipeline import run_job

            world.join()
            world.wait()  # the folder is there
            world.wait()  # the others have what they need of it
            result = run_job(folder, stages)
            world.leave()
        document = {"folder": str(folder.path), **result}
        missed = latencies.missed(result) if {"measure", "report"} & set(stages) else None
        if common.json:
            print_json(document if missed is None else {**document, "error": missed, "exit_code": FAILED})
        else:
            from sartor.cli import tables

            tables.print_result(document)
        if missed is not None:
            raise (SaidError if common.json else VerificationError)(missed)


def _assist(job: Path, stages: Sequence[str], out: Path | None, overrides: list[str] | None) -> None:
    """What the other processes of a launcher do: take every training step, and leave no trace."""
    from sartor import world
    from sartor.config import load_job
    from sartor.pipeline import run_job
    from sartor.run.follower import follow

    leader = job if job.is_dir() else out or Path("runs") / load_job(job, overrides or []).name
    world.join()
    world.wait()
    with follow(leader) as folder:
        world.wait()
        run_job(folder, [stage for stage in stages if stage in ("search", "train")])
    world.leave()


def _open(job: Path, out: Path | None, overrides: list[str] | None, common: Common) -> Any:
    """The run folder of a job file or, given a folder, the run in it."""
    from sartor.run import RunFolder

    progress = _progress(common)
    if job.is_dir():
        if out is not None or overrides:
            raise RequestError(
                f"{job}: a run keeps its configuration and folder; --set and --out belong to a job file. To change "
                f"something, give {job / 'config.json'} with --set and a new --out"
            )
        return RunFolder.reopen(job, progress=progress)
    from sartor.config import load_job

    loaded = load_job(job, overrides or [])
    return RunFolder.create(out or Path("runs") / loaded.name, loaded.resolved(), progress=progress)


def _progress(common: Common) -> Any:
    from sartor.progress import Progress

    return Progress.for_terminal(quiet=common.quiet or common.json, verbose=common.verbose)


def _platform_name(budgets: dict[str, Any]) -> str:
    """A name that can name files, such as macs-12M."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(f"{kind}-{value}" for kind, value in budgets.items())).strip(".-")
