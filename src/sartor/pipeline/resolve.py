"""From a job to objects: the pictures are loaded, the index sets drawn once, the machine prepared."""

from __future__ import annotations

from sartor import spaces
from sartor.config import Job, SpaceChoice
from sartor.config.sections import DataSettings, Size
from sartor.data import ImageSet, IndexSets, Pictures, load, make_index_sets
from sartor.data.load import Rows
from sartor.pipeline.setting import Setting
from sartor.run import INDEX_SETS, RunFolder
from sartor.runtime import prepare
from sartor.space import SearchSpace
from sartor.spaces.layouts import resized
from sartor.storage import storage_errors


def make_setting(job: Job, folder: RunFolder) -> Setting:
    """The job as objects, ready to run: pictures loaded, index sets drawn or found in ``folder``.

    Raises:
        RequestError: pictures that cannot be read, or that do not fit the job or the run.
    """
    runtime = prepare(job.device, job.precision, job.threads)
    pictures = _pictures(job, folder)
    train = pictures.train
    space, deploy = _spaces(job, train)
    return Setting(
        space=space,
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
        random_trained=job.random_trained,
        deploy=deploy,
        search_space=_search_space(job, space),
        search_augmentation=job.data.make_search_augmentation(train),
        read_at=lambda size, *rows: _pictures(job, folder, size, rows),
    )


def _spaces(job: Job, train: ImageSet) -> tuple[SearchSpace, SearchSpace | None]:
    """The space for the pictures at hand; and for those that networks are shipped for, where they have another size.

    Strides are settled once, for the latter: ``layout: auto`` means the same network at both sizes.
    """
    found = {"num_classes": train.num_classes, "in_channels": train.channels}
    space = job.space.create(image_size=train.image_size, **found)
    size = job.deploy_image_size or train.image_size
    if size == train.image_size:
        return space, None
    resized(space, size)  # refuses a space that is for one size alone
    open_size = SpaceChoice(job.space.name, {**job.space.options, "image_size": None})
    deploy = open_size.create(image_size=size, **found)
    return resized(deploy, train.image_size), deploy


def _search_space(job: Job, space: SearchSpace) -> SearchSpace | None:
    if not job.search_space:
        return None
    return spaces.create(space.name, **{**space.options, **job.search_space})


def _pictures(job: Job, folder: RunFolder, image_size: int | None = None, rows: Rows | None = None) -> Pictures:
    """The job's pictures; or only those at some ``rows`` of the training and of the test pictures, at another size."""
    data = job.data
    with folder.progress.counter("pictures") as count:
        return load(
            data.source,
            data.path,
            image_size=image_size or data.image_size,
            rows=rows,
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
