"""Draw samples from RUN's student (or teacher) into a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from distill.stages.folders import MODELS, device_of, root_of, saved_model


def run(config: DictConfig) -> dict[str, float]:
    """Write `count` samples as .npy or .csv, to `output` or RUN/sample/samples.npy.

    Errors:
        FileExistsError: The output exists and `overwrite` is not set.
        ValueError: An output that is neither .npy nor .csv.
    """
    role = Path(config.run).name if Path(config.run).name in MODELS else config.model
    if role not in MODELS:
        raise ValueError(f"model: wanted teacher or student, got {role!r}.")
    model = saved_model(config, role).model(config.trusted).to(device_of(config))
    output = Path(config.output or root_of(config) / "sample" / f"{role}.npy")
    if output.suffix not in (".npy", ".csv"):
        raise ValueError(f"output: wanted a .npy or .csv file, got {str(output)!r}.")
    if output.exists() and not config.overwrite:
        raise FileExistsError(f"{output}: exists. Name another output=, or set overwrite=true.")
    x = model.sample(config.count, seed=config.seed, temperature=config.temperature).cpu().numpy()
    output.parent.mkdir(parents=True, exist_ok=True)
    if output.suffix == ".npy":
        np.save(output, x)
    else:
        np.savetxt(output, x, delimiter=",", fmt="%.8g")
    print(f"{output}: {x.shape[0]} samples of {x.shape[1]} sites")
    return {"count": float(len(x))}
