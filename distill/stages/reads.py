"""The config keys that each stage reads; it gets these and no others."""

from __future__ import annotations

COMMON = ("name", "run", "seed", "device", "threads", "resume", "overwrite", "trusted")
"""Keys of every stage."""

UNREAD = {
    "prepare": ("device", "threads", "resume"),
    "sample": ("resume",),
    "export": ("seed", "device", "threads"),
    "benchmark": ("seed",),
    "compare": ("seed", "device", "threads"),
    "stream": ("resume",),
    "serve": ("seed", "resume", "overwrite"),
    "doctor": ("seed", "resume", "overwrite"),
}
"""Those of them that would change nothing."""

_TRAINS = ("data", "evaluation", "loss_warmup")

READS: dict[str, tuple[str, ...]] = {
    "prepare": ("data",),
    "teacher": (*_TRAINS, "teacher", "teacher_trainer", "likelihood"),
    "student": (
        *_TRAINS,
        "student",
        "student_trainer",
        "student_encoder",
        "min_log_scale",
        "objective",
    ),
    "classifier": ("data", "evaluation", "classifier", "classifier_trainer"),
    "sample": (
        *("model", "input", "output", "count", "seconds", "speaker", "label", "temperature"),
        "sampler",
    ),
    "evaluate": ("data", "evaluation", "part"),
    "export": ("exports", "page", "examples"),
    "benchmark": ("benchmark", "check", "data"),
    "compare": (*("runs", "metrics", "sort", "descending", "transpose", "output", "tensorboard"),),
    "stream": (
        *("file", "input", "output", "chunk", "pace", "speaker", "label", "without", "temperature"),
    ),
    "serve": (
        *("file", "voices", "host", "port", "public", "token_file", "replicas", "cluster"),
        *("examples", "limits"),
    ),
    "doctor": (),
}
"""Keys beside the common ones."""

COMPARED = {"student": ("teacher",)}
"""Keys that a stage only compares with what the run was made with."""

POSITIONAL = {"compare": "runs"}
"""Stages that take words without a key, and the key that these are the list of."""

BEGINS = ("teacher",)
"""Stages that begin a run: what they are told of other stages is recorded for these."""

TRAINING = ("teacher", "student", "classifier")
"""Stages that train, and so may run in several processes."""

PIPELINE = ("teacher", "student", "evaluate", "export", "benchmark")
"""What `pipeline` runs, in order."""

READS["pipeline"] = tuple(dict.fromkeys(key for stage in PIPELINE for key in READS[stage]))


def keys_of(stage: str) -> tuple[str, ...]:
    """Return every key that a stage reads.

    Example:
        >>> "student" in keys_of("pipeline"), "student" in keys_of("evaluate")
        (True, False)
    """
    return (*_common(stage), *READS[stage], *COMPARED.get(stage, ()))


def readers_of(key: str) -> list[str]:
    """Return the stages that read a key.

    Example:
        >>> readers_of("objective")
        ['student', 'pipeline']
    """
    return [stage for stage in READS if key in (*_common(stage), *READS[stage])]


def _common(stage: str) -> list[str]:
    return [key for key in COMMON if key not in UNREAD.get(stage, ())]
