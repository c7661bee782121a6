"""An exported student as a vocoder: mel in, sound out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from distill.data.audio.frame_files import features_of, rows_of_frames
from distill.export.exported import Exported
from distill.export.registry import load
from distill.frames import FrameLayout


class Vocoder:
    """Turns a mel into sound, by an exported file.

    Arguments:
        exported: Of a model that turns frames (and labels) into sound.

    Attributes:
        sample_rate: Hz.
        hop: Samples of a frame.
        labels: Names of the labels that it wants, `speaker` say.

    Errors:
        ValueError: Another kind of model.
    """

    def __init__(self, exported: Exported) -> None:
        self.exported = exported
        self._layout = FrameLayout(exported.metadata.spec, whole=True)
        self.sample_rate, self.hop = self._layout.rate, self._layout.hop
        self.labels = self._layout.label_names

    def __call__(
        self, mel: Any, *, seed: int | None = None, temperature: float = 1.0, **more: Any
    ) -> np.ndarray:
        """Return the sound `(F * hop,)` of a mel, float32 of full scale 1.

        Arguments:
            mel: An array or tensor `(F, bands)` or `(bands, F)`, also with a leading axis of 1.
            seed: Makes it reproducible.
            temperature: Scales the noise.
            more: Other features by name (`f0`, `phase`), and labels (`speaker="anna"`).

        Errors:
            ValueError: What the model can't read, or lacks.
        """
        said = {name: more.pop(name) for name in list(more) if name in self.labels}
        rows = rows_of_frames({"mel": mel, **more}, self._layout, "vocoder")
        features = {**features_of(rows, self._layout), **self._layout.labels(said)}
        sound = self.exported.synthesize(features, seed=seed, temperature=temperature)
        return sound[0].numpy().astype(np.float32)

    def __repr__(self) -> str:
        return f"Vocoder({str(self.exported.path)!r}, {self.sample_rate} Hz, {self._layout})"


def load_voice(path: str | Path) -> Vocoder:
    """Load an exported student (.onnx, .pt2) as a vocoder, which is called with a mel.

    Errors:
        FileNotFoundError: There is no such file.
        ValueError: It is no exported sampler, or none that turns frames into sound.
    """
    return Vocoder(load(path))
