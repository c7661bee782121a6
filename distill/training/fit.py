"""Training in Python: the same loop that the stages run, without configs."""

from __future__ import annotations

import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from omegaconf.errors import InterpolationResolutionError

from distill.checks import check_seed, path_of
from distill.configs import composed, config_dir
from distill.data import Data
from distill.data.convert import as_data
from distill.differences import difference
from distill.evaluation import Evaluator
from distill.evaluation.evaluator import reported
from distill.instantiate import build
from distill.locking import LOCK, locked
from distill.models import Density, Flow
from distill.models.checkpoint import NAME, Checkpoint, checkpoint_of, read_checkpoint
from distill.models.foreign import as_density
from distill.objectives import Distillation, Likelihood, Objective, Task
from distill.renamed import check_arguments
from distill.sharing import count_of
from distill.training.described import described, free_settings
from distill.training.ranks import here
from distill.training.state import check_goes_on
from distill.training.tracker import Tracker
from distill.training.trainer import Trainer, Watch

_TURNS = threading.RLock()
"""Threads share torch's random numbers: by turns each has those of its seed."""


def fit(
    model: Density,
    data: Any,
    *,
    loss_warmup: int = 0,
    seed: int = 0,
    evaluator: Evaluator | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    **settings: Any,
) -> Density:
    """Train a density by maximum likelihood, in parallel over sites.

    Arguments:
        model: Built for the spec of the data, on its device; it is trained in place.
        data: What `as_data` takes.
        loss_warmup: Sites at the start of each value that are left out of the loss.
        seed: Of batches and noise.
        evaluator: Looks at the model before, after, and every `watch_every` steps.
        folder: Where checkpoints and TensorBoard events go; `None` writes nothing.
        resume: Go on from the folder's checkpoint, where there is one; to more steps, if you like.
        settings: Of the `Trainer`: `steps`, `batch_size`, `learning_rate`, `ema`, ...

    Returns the model, in evaluation mode.

    Errors:
        BlockingIOError: Another process trains in the folder.
        FileExistsError: The folder holds a checkpoint, and `resume` is not set.
        ValueError: Data that the model can't read, or settings that the trainer does not have.

    Example:
        >>> import torch
        >>> from distill import as_data, maf
        >>> data = as_data(torch.randn(200, 2))
        >>> model = fit(maf(data.spec, layers=1, hidden=[8]), data, steps=2, batch_size=16)
        precision: float32...
    """
    check_seed(seed)
    given: object = model
    if not isinstance(given, Density):
        raise ValueError(
            f"fit: wanted a model of distill first, as maf(data.spec), got {type(given).__name__}."
        )
    data = as_data(data)
    data.check_matches(model.spec)
    watch = _watch(evaluator, data, seed)
    task = Likelihood(model, loss_warmup)
    made = (folder, resume, settings, {"objective": "likelihood", "loss_warmup": loss_warmup})
    return _trained(task, data, evaluator, watch, seed, *made)


def distill(
    student: Flow,
    teacher: Any,
    data: Any,
    objective: Objective | str = "tempered_kl",
    *,
    encoder: str = "own",
    loss_warmup: int = 0,
    seed: int = 0,
    evaluator: Evaluator | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    **settings: Any,
) -> Flow:
    """Train a flow that draws in parallel to match a frozen teacher.

    Arguments:
        student: Built for the teacher's spec; it is trained in place.
        teacher: Any density of ours, or of another library (`ForeignDensity`). It is frozen.
        data: What `as_data` takes: it gives features, and what some objectives compare with.
        objective: An objective, or the name of one in `conf/objective`.
        encoder: Where the student's encoder starts: `own`, `copied` or `shared`.
        loss_warmup: Sites at the start of each value that are left out of the loss.
        seed: Of batches and noise.
        evaluator: Looks at the student before, after, and every `watch_every` steps.
        folder: Where checkpoints and TensorBoard events go; `None` writes nothing.
        resume: Go on from the folder's checkpoint, where there is one.
        settings: Of the `Trainer`: `steps`, `batch_size`, `learning_rate`, `ema`, ...

    Returns the student, in evaluation mode.

    Errors:
        BlockingIOError: Another process trains in the folder.
        FileExistsError: The folder holds a checkpoint, and `resume` is not set.
        ValueError: A pair that the objective refuses; data that the student can't read.

    Example:
        >>> import torch
        >>> from distill import as_data, iaf
        >>> data = as_data(torch.randn(200, 2))
        >>> normal = torch.distributions.MultivariateNormal(torch.zeros(2), torch.eye(2))
        >>> student = iaf(data.spec, layers=1, hidden=[8])
        >>> student = distill(student, normal, data, steps=2, batch_size=16)
        precision: float32...
    """
    check_seed(seed)
    given: object = student
    if not isinstance(given, Flow):
        raise ValueError(
            "distill: wanted a flow as the student, which draws in parallel, as iaf(data.spec), "
            f"got {type(given).__name__}."
        )
    data = as_data(data)
    data.check_matches(student.spec)
    density = as_density(teacher, student.spec)
    chosen = objective_of(objective)
    task = Distillation(student, density, chosen, encoder, loss_warmup)
    watch = _watch(evaluator, data, seed, density)
    by = {"objective": described(chosen), "teacher": described(density)}
    by |= {"encoder": encoder, "loss_warmup": loss_warmup}
    made = (folder, resume, settings, by)
    trained = _trained(task, data, evaluator, watch, seed, *made)
    assert isinstance(trained, Flow)
    return trained


def objective_of(objective: Objective | str) -> Objective:
    """Return an objective, given itself or its name in `conf/objective`.

    Errors:
        ValueError: There is none of that name.

    Example:
        >>> objective_of("gaussian_kl")
        GaussianKL(pull=4.0, reverse=True)
    """
    if isinstance(objective, Objective):
        return objective
    given: Any = objective
    if isinstance(given, type):
        name = given.__name__
        raise ValueError(f"objective: wanted one that is made, as {name}(), got the class {name}.")
    known = sorted(path.stem for path in (config_dir() / "objective").glob("*.yaml"))
    if objective not in known:
        raise ValueError(f"objective: wanted one of {', '.join(known)}, got {objective!r}.")
    try:
        return build(composed(f"objective/{objective}").objective)
    except InterpolationResolutionError:
        raise ValueError(
            f"objective: {objective} reads the classifier of a run, which only the command line "
            "has. Make it here: WeightedSum of terms, with Perceptual(classifier)."
        ) from None


def _watch(evaluator: Any, data: Data, seed: int, *teacher: Density) -> Watch | None:
    if evaluator is None:
        return None
    return lambda m: reported(evaluator.watch(m, data.watched, seed, *teacher), evaluator)


def _trained(
    task: Task,
    data: Data,
    evaluator: Evaluator | None,
    watch: Watch | None,
    seed: int,
    folder: str | Path | None,
    resume: bool,
    settings: dict[str, Any],
    by: dict[str, Any],
) -> Any:
    if count_of() > here().count:
        print(
            f"note: {count_of()} processes were started, each of which now trains by itself. "
            "Within `with session():`, of distill.training, they train together.",
            file=sys.stderr,
            flush=True,
        )
    check_arguments(settings)
    looks: Any = evaluator
    if not (looks is None or isinstance(looks, Evaluator)):
        raise ValueError(
            f"evaluator: wanted one that is made, as PointsEvaluator(), got {looks!r}."
        )
    if evaluator is not None:
        evaluator.check(data)
    optimizer = settings.get("optimizer", torch.optim.Adam)
    if not callable(optimizer):
        raise ValueError(
            "optimizer: wanted what makes one of the parameters, as torch.optim.AdamW or a "
            f"functools.partial of it, got {type(optimizer).__name__}."
        )
    try:
        trainer = Trainer(**{"batch_size": data.batch_size, **settings})
    except TypeError as error:
        raise ValueError(f"fit: {error}. Settings are those of distill.training.Trainer.") from None
    place = None if folder is None else path_of(folder, "folder")
    for above in () if place is None else (place, *place.parents):
        if above.exists() and not above.is_dir():
            raise NotADirectoryError(
                f"folder: wanted a folder for checkpoints, got {place}, where {above} is a file. "
                "Name another."
            )
    if not any(p.requires_grad for p in task.model.parameters()):
        raise ValueError(
            "fit: wanted a model with weights to train, got none: it has none, or was frozen, as "
            "the teacher of a distillation is. model.requires_grad_(True) lets it train again."
        )
    made_from = {"data": data.identity(), "settings": described(trainer), "seed": seed, **by}
    recipe = getattr(task.model.recipe, "node", {})
    if not recipe:
        made_from["model"] = described(task.model, weights=False)
    elif folder is not None:
        checkpoint_of(task.model)  # what is saved has to give this very model back
    checkpoint = Checkpoint("model", {"model": recipe}, task.model.spec, {}, {}, made_from)
    device = next(task.model.parameters()).device
    with ExitStack() as stack:
        stack.enter_context(_TURNS)
        stack.enter_context(torch.random.fork_rng([device] if device.type == "cuda" else []))
        if place is not None and here().leads:
            place.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(place / LOCK, f"{place}: another training", "folder"))
        if place is not None and (place / NAME).is_file():
            checkpoint = _resumed(place, checkpoint, resume)
        if evaluator is not None:
            evaluator.looks = trainer.looks(checkpoint.training)
        tracker = stack.enter_context(Tracker(place, checkpoint.training.get("step")))
        trainer.fit(task, data, watch, tracker, checkpoint, place, seed=seed, name="training")
    return task.model


def _resumed(folder: Path, mine: Checkpoint, resume: bool) -> Checkpoint:
    if not resume:
        raise FileExistsError(
            f"{folder}: holds a checkpoint. Go on with resume=True, or name another folder."
        )
    found = read_checkpoint(folder)
    check_goes_on(found.training, folder)
    was, now = ({"model": c.config, "spec": c.spec.to_dict(), **c.made_from} for c in (found, mine))
    own = free_settings(was.get("settings", {}), now["settings"])
    differs = difference(was, now, [f"settings.{name}" for name in own])
    if differs:
        raise ValueError(
            f"{folder}: can't go on, since another training is there: {differs}. Name another "
            "folder."
        )
    return found
