"""Stages: what `distill STAGE` runs, each with its own config and its own folder."""

STAGES: dict[str, str] = {
    "teacher": "train an autoregressive teacher by maximum likelihood",
    "student": "distill a frozen teacher into a parallel student",
    "sample": "draw from a trained teacher or student",
    "evaluate": "measure a student against its teacher and held-out data",
    "export": "write the student's sampler as .pt2 and ONNX, and verify each",
    "benchmark": "compare the speed of teacher, student and exports",
    "pipeline": "all of them in order, under one run folder",
}
"""Each stage and one line about it; the code is `distill.stages.<name>.run(config)`."""
