"""Export the student's sampler to every chosen format, verified, into RUN/export."""

from __future__ import annotations

from omegaconf import DictConfig

from distill.configure import build
from distill.export import accept
from distill.models import Flow
from distill.stages.folders import root_of, saved_model
from distill.stages.training import write_config
from distill.training import Tracker

FILES = "student.*"


def run(config: DictConfig) -> dict[str, float]:
    """Write, reload and compare each of `exports`; fail if one differs from the student."""
    saved = saved_model(config, "student")
    student = saved.model(config.trusted)
    assert isinstance(student, Flow)
    folder = root_of(config) / "export"
    write_config(config, folder)
    numbers: dict[str, float] = {}
    with Tracker(folder) as tracker:
        for name, node in config.exports.items():
            path, report = accept(build(node), student, folder, config=saved.config["student"])
            print(f"{path}: {report}")
            numbers[f"{name}/error_x"] = report.x
            numbers[f"{name}/error_log_prob"] = report.log_prob
            numbers[f"{name}/error_relative"] = report.relative
            numbers[f"{name}/rms_x"] = report.rms_x
            if report.chunks:
                numbers[f"{name}/chunked_error_x"] = report.chunked_x
                numbers[f"{name}/chunked_error_log_prob"] = report.chunked_log_prob
            if report.decibels is not None:
                numbers[f"{name}/signal_to_error_db"] = report.decibels
            numbers[f"{name}/megabytes"] = path.stat().st_size / 1e6
        tracker.scalars(numbers, 0)
        return tracker.metrics(numbers)  # type: ignore[return-value]
