"""Evaluate teacher and student on held-out data, into RUN/evaluate.

Other data, as in data.path=elsewhere, goes into a folder of its own, RUN/evaluate-NAME, and so
does another part of the data, as in part=validation.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from distill.checks import check_seed
from distill.differences import difference
from distill.evaluation.evaluator import reported
from distill.instantiate import build
from distill.stages.differences import FREE, HELD, data_difference, fingerprint
from distill.stages.export_file import note_stale
from distill.stages.finished import measure
from distill.stages.folders import (
    device_of,
    note_other_teacher,
    root_of,
    saved_model,
    saved_node,
    student_of,
    weights_of,
)
from distill.stages.judges import judges_of
from distill.stages.work import StageRecord, tell
from distill.training import Checkpoint, Tracker

_COUNTED = ("count", "header")
"""Keys of data by which the number of its rows changes."""


def run(config: DictConfig) -> dict[str, float]:
    """Measure both models on the data they were trained for, or on `data.path=`.

    Errors:
        FileExistsError: It is finished, and neither `resume` nor `overwrite` is set.
        ValueError: Data that the models can't read, or that has changed since they were trained.
    """
    device = device_of(config)
    check_seed(config.seed)
    student_file, teacher_file = saved_model(config, "student"), saved_model(config, "teacher")
    note_other_teacher(config, student_file, teacher_file)
    note_stale(root_of(config))
    teacher = teacher_file.model(config.trusted).to(device)
    student = student_of(config, student_file).to(device)
    nodes = {name: saved_node(config, student_file, name) for name in ("data", "evaluation")}
    data = build(nodes["data"], trusted=config.trusted)
    data.check_matches(student.spec)
    part = data.part(config.part)
    mine: dict[str, Any] = {
        "name": student_file.config.get("name", config.get("name")),
        "run": str(config.run),
        "seed": config.seed,
        "part": config.part,
        **{name: OmegaConf.to_container(node, resolve=True) for name, node in nodes.items()},
    }
    was, now = student_file.made_from.get("data") or {}, data.identity()
    changed = data_difference(was, now)
    folder = _folder(root_of(config), student_file, mine["data"])
    if changed is None and "values" in was:  # the same numbers, wherever they lie
        folder = root_of(config) / "evaluate"
    if folder.name == "evaluate":
        if changed:
            raise ValueError(
                f"{root_of(config)}: the data has changed since its student was trained: "
                f"{changed}. Bring it back, or name other data with data.path=."
            )
    else:
        _check_kept_back(root_of(config), student_file, mine["data"], now, config.part)
        print(f"evaluate: other data, so into {folder}", flush=True)
    if config.part != "held_out":
        folder = folder.with_name(f"{folder.name}-{config.part}")
    evaluator = build(nodes["evaluation"], trusted=config.trusted)
    made_from = {
        "teacher": weights_of(teacher_file),
        "student": weights_of(student_file),
        "data": fingerprint(data.identity()),
        **judges_of(mine["evaluation"]),
    }

    def work(_: StageRecord) -> dict[str, float]:
        with Tracker(folder) as tracker:
            report = reported(evaluator.evaluate(teacher, student, part, config.seed), evaluator)
            tracker.report(report, 0)
            tell(folder, report.tables.values())
            return tracker.metrics(report.scalars)  # type: ignore[return-value]

    return measure(config, "evaluate", folder, mine, made_from, work)


def _check_kept_back(root: Path, saved: Checkpoint, node: Any, now: Any, part: str) -> None:
    """Raise where another split would call values kept back that the models were trained on.

    Arguments:
        root: The run folder.
        saved: The student's checkpoint.
        node: The data's, as it is asked for.
        now: The identity of that data.
        part: What is to be measured.

    Errors:
        ValueError: The split is another, of the same values, and the parts meet or have no names.
    """
    old, new = (_located(data) for data in (saved.config["data"], node))
    made, was = new.get("path") is None, saved.made_from.get("data") or {}
    if old.get("path") != new.get("path") or (made and old.get("seed") != new.get("seed")):
        return
    # Rows are permuted as a whole: of another number of them others are kept back.
    other = [key for key in ("seed", "held_out", *_COUNTED) if old.get(key) != new.get(key)]
    if "train" in was and part in now:
        meets = bool(set(was["train"]) & set(now[part]))
    else:
        meets = bool(other) or was.get("rows", now.get("rows")) != now.get("rows")
    if meets:
        other = other or [key for key in sorted(new) if old.get(key) != new[key]]
        raise ValueError(
            f"data.{other[0]}={new.get(other[0])}: splits the data of {root} in another way, and "
            "values that its models were trained on would count as kept back. Leave it out, or "
            f"name other data with {'data.seed' if made else 'data.path'}=."
        )


def _located(node: Any) -> dict[str, Any]:
    """Return a data node with its path written in one way."""
    path = node.get("path")
    return node if path is None else {**node, "path": str(Path(str(path)).expanduser().resolve())}


def _folder(root: Path, saved: Checkpoint, node: Any) -> Path:
    """Return where numbers of a data node go: those of other data don't replace the run's own."""
    was, now = ({"data": _located(data)} for data in (saved.config["data"], node))
    held = [key for key in FREE if key != "data.path"]
    if difference(was, now, held) is None:
        return root / "evaluate"
    plain = {key: value for key, value in node.items() if f"data.{key}" not in HELD}
    tag = hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()[:6]
    stem = Path(str(node.get("path") or "data")).expanduser().stem
    return root / f"evaluate-{re.sub(r'[^A-Za-z0-9_-]+', '-', stem)[:40] or 'data'}-{tag}"
