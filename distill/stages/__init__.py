"""Stages: what `distill STAGE` runs, each with its own config and its own folder."""

STAGES: dict[str, str] = {
    "prepare": "look through a corpus of audio, report on it, and cache its features",
    "teacher": "train an autoregressive teacher by maximum likelihood",
    "student": "distill a frozen teacher into a parallel student",
    "classifier": "train a classifier of sounds, for perceptual losses and evaluation",
    "sample": "draw from a trained teacher or student, or copy audio and mels",
    "evaluate": "measure a student against its teacher and held-out data",
    "export": "write the student's sampler as .pt2 and ONNX, and verify each",
    "benchmark": "compare the speed of teacher, student and exports",
    "compare": "show where the configs of runs differ, and their metrics side by side",
    "stream": "speak from an exported student as frames come in: to wav, a pipe or a sound card",
    "serve": "answer requests for sound on this machine, with a page to hear and see it",
    "doctor": "look at this machine, and check in ten seconds that everything works on it",
    "pipeline": "all of them in order, under one run folder",
}
"""Each stage and one line about it; the code is `distill.stages.<name>.run(config)`."""
