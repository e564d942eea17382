"""From a job to objects: the pictures are loaded, the index sets drawn once, the machine prepared."""

from __future__ import annotations

from sartor.config import Job
from sartor.config.sections import DataSettings, Size
from sartor.data import IndexSets, Pictures, load, make_index_sets
from sartor.pipeline.setting import Setting
from sartor.run import INDEX_SETS, RunFolder
from sartor.runtime import prepare
from sartor.storage import storage_errors


def make_setting(job: Job, folder: RunFolder) -> Setting:
    """The job as objects, ready to run: pictures loaded, index sets drawn or found in ``folder``.

    Raises:
        RequestError: pictures that cannot be read, or that do not fit the job or the run.
    """
    runtime = prepare(job.device, job.precision, job.threads)
    pictures = _pictures(job, folder)
    train = pictures.train
    return Setting(
        space=job.space.create(num_classes=train.num_classes, image_size=train.image_size, in_channels=train.channels),
        pictures=pictures,
        index_sets=_index_sets(job, folder, pictures),
        platforms=job.platforms,
        method_name=job.method.name,
        method_settings=job.method.settings,
        search=job.search,
        train=job.train,
        augmentation=job.data.make_augmentation(train),
        runtime=runtime,
        seed=job.seed,
        workers=job.data.workers,
        calibration_pictures=job.evaluation.calibration_pictures,
        evaluation_batch=job.evaluation.batch_size,
        cloud=job.evaluation.cloud,
        mode_pictures=job.evaluation.mode_pictures,
    )


def _pictures(job: Job, folder: RunFolder) -> Pictures:
    data = job.data
    with folder.progress.counter("pictures") as count:
        return load(
            data.source,
            data.path,
            image_size=data.image_size,
            classes=data.classes,
            pictures_per_class=data.pictures_per_class,
            test_fraction=data.test_fraction,
            seed=job.seed,
            cache=data.cache,
            workers=data.workers,
            progress=count,
        )


def _index_sets(job: Job, folder: RunFolder, pictures: Pictures) -> IndexSets:
    """The sets in the run folder, which must belong to these labels; drawn and kept there at the first time."""
    path = folder.file(INDEX_SETS)
    test_labels = None if pictures.test is None else pictures.test.labels
    with storage_errors(path):
        if path.exists():
            sets = IndexSets.load(path)
            sets.check(pictures.train.labels, test_labels)
            return sets
        sets = make_index_sets(
            pictures.train.labels,
            test_labels=test_labels,
            weights=_rest(job.data),
            policy=job.data.policy,
            selection=job.data.selection,
            seed=job.seed,
            train_on_all=job.data.train_on_all,
        )
        sets.save(path)
    return sets


def _rest(data: DataSettings) -> Size | None:
    """The weights' share; None (what the others leave) where the shares are the whole, which rounding could exceed."""
    shares = (data.weights, data.policy, data.selection)
    whole = all(isinstance(share, float) for share in shares) and sum(s for s in shares if s is not None) > 1 - 1e-9
    return None if whole else data.weights
