"""Quality beside speed: the main numbers of an evaluation of the same weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

MAIN = {
    "held_out_nll": "NLL, nats",
    "kl_reverse": "KL to teacher, nats",
    "recall": "recall",
    "precision": "precision",
    "log_mel_mae": "log-mel",
    "stft": "STFT",
    "stoi": "STOI",
    "voicing_agreement": "voicing",
    "f0_within_50_cents": "F0 within 50 cents",
}
"""Numbers of evaluations that stand beside speeds, and their columns."""


def quality_of(
    names: Iterable[str], metrics: Mapping[str, float | None], reduced: Iterable[str] = ()
) -> dict[str, dict[str, float]]:
    """Return for each row's name the main numbers of its model.

    Arguments:
        names: Of rows: model and backend.
        metrics: `metrics.json` of an evaluation.
        reduced: Names of rows whose arithmetic is of reduced precision, so that an evaluation of
            the model itself does not speak for them.

    Example:
        >>> quality_of(["student-onnx", "zuko-maf"], {"student/stft": 1.2, "student/other": 3.0})
        {'student-onnx': {'STFT': 1.2}}
    """
    found: dict[str, dict[str, float]] = {}
    left_out = set(reduced)
    for name in names:
        model = name.partition("-")[0]
        own = {column: metrics.get(f"{model}/{key}") for key, column in MAIN.items()}
        known = {column: value for column, value in own.items() if value is not None}
        if known and name not in left_out:
            found[name] = known
    return found
