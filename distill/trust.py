"""What a file may have built: the names that its config may call, and no others."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra.utils import get_object

ALLOWED: dict[str, str] = {
    "distill.bijectors": (
        "ActNorm Affine Autoregressive BatchNorm Chain Coupling Flip Inverse LinearPrediction "
        "Permute RationalQuadraticSpline Shift Standardize"
    ),
    "distill.distributions": (
        "GaussianHead Logistic LogisticHead MixtureOfGaussians MixtureOfLogistics MuLaw Normal"
    ),
    "distill.networks": (
        "FrameEncoder HarmonicEncoder LogMelFront MADE MLP MaskedLinear StridedFront "
        "VectorEncoder WaveNet"
    ),
    "distill.models": (
        "AutoregressiveDensity Flow coupling_flow iaf maf nice standardization wavenet wavenet_iaf "
        "whitening"
    ),
    "distill.models.classifier": "Classifier",
    "distill.data": "ArrayData Banana Checkerboard Moons Points Rings Text",
    "distill.data.audio": "AudioCorpus Digits LJSpeech LibriTTS LogMel Pitch Tones VCTK",
    "distill.evaluation": "PointsEvaluator",
    "distill.evaluation.audio": "AudioEvaluator",
    "distill.objectives": (
        "Contrastive ForwardKL FreeEntropyKL GaussianKL JensenShannon Likelihood LogMelDistance "
        "MultiResolutionSTFT OnSignal PowerLoss Ramp ReverseKL WeightedSum"
    ),
    "distill.objectives.perceptual": "Perceptual",
    "distill.training": "Muon Trainer",
    "torch.nn": (
        "BatchNorm1d Conv1d ConvTranspose1d Dropout ELU Embedding GELU GRU GroupNorm Hardtanh "
        "Identity LSTM LayerNorm LeakyReLU Linear Mish PReLU ReLU Sequential SiLU Sigmoid "
        "Softplus Tanh"
    ),
    "torch.optim": "ASGD Adadelta Adagrad Adam AdamW Adamax NAdam RAdam RMSprop SGD",
}
"""By the package that they are public in; each also goes by the module that defines it."""

BEYOND = ("cluster", "download")
"""Arguments that reach beyond this machine's files: no file may set them."""

_NAMES = {f"{package}.{name}" for package, names in ALLOWED.items() for name in names.split()}
_PLAIN = (str, int, float, bool, type(None))
_CONSENTED: set[str] = set()
_PACKAGE = re.compile(r"[A-Za-z_]\w*")


def check_config(config: Any, trusted: Sequence[str] = ()) -> None:
    """Refuse a config out of a file that would build something else than models and data.

    All of it is checked by name before anything is imported: every `_target_`, however deep. It has
    to be plain data, so that nothing hides from the check: no objects, and no `${...}`, which Hydra
    would replace afterwards.

    Arguments:
        config: Plain containers with `_target_`, as they lie in the file.
        trusted: Packages of the user's own that it may build from too. An explicit argument of the
            user, never read from a file.

    Errors:
        ValueError: A name that is neither listed nor of a trusted package; data that is not plain;
            a trusted package that is no one's own.

    Example:
        >>> check_config({"_target_": "distill.models.maf", "hidden": [8]})
        >>> check_config({"_target_": "distill.models.maf", "base": {"_target_": "os.system"}})
        Traceback (most recent call last):
        ...
        ValueError: A saved config wants to build 'os.system', which is not among the models...
    """
    check_packages(trusted)
    targets = list(_targets(config))
    foreign = [target for target in targets if not is_listed(target)]
    for target in foreign:
        if target.partition(".")[0] not in trusted:
            raise _refusal(target, trusted)
    for target in foreign:
        # A dotted path may lead through a module's imports to somewhere else.
        home = (getattr(get_object(target), "__module__", None) or "").partition(".")[0]
        if home not in trusted:
            raise _refusal(target, trusted)


def check_near(config: Any) -> None:
    """Refuse a model's config that would reach beyond this machine's files.

    Errors:
        ValueError: It sets one of `BEYOND`, however deep.

    Example:
        >>> check_near({"_target_": "distill.models.maf", "base": {"cluster": "far:6379"}})
        Traceback (most recent call last):
        ...
        ValueError: A saved config sets cluster='far:6379', which only the command line may...
    """
    for part in config.values() if isinstance(config, Mapping) else config:
        if isinstance(part, Mapping | list | tuple):
            check_near(part)
    for key in BEYOND:
        if isinstance(config, Mapping) and config.get(key):
            raise ValueError(
                f"A saved config sets {key}={str(config[key])[:40]!r}, which only the command line "
                "may. Nothing was run."
            )


def consent(target: str) -> None:
    """Let files name a function or class of the running program's own, which it names itself."""
    _CONSENTED.add(target)


def check_packages(trusted: Any) -> None:
    """Refuse packages that nobody can mean to trust as their own.

    Errors:
        ValueError: Not a list of names; a part of Python, torch or this package.
    """
    if isinstance(trusted, str) or not isinstance(trusted, Sequence):
        raise ValueError(f"trusted: wanted a list, as in trusted=[my_package], got {trusted!r}.")
    for name in trusted:
        if not isinstance(name, str) or not _PACKAGE.fullmatch(name):
            raise ValueError(
                f"trusted: wanted names of packages without dots, got {name!r}. Write "
                "trusted=[my_package]."
            )
        if name in sys.stdlib_module_names or name in ("distill", "torch", "hydra", "numpy"):
            raise ValueError(
                f"trusted: {name} is not a package of your own, and much of it runs commands. "
                "Name the package that holds your classes."
            )


def _targets(config: Any) -> Iterator[str]:
    if isinstance(config, Mapping):
        for key, value in config.items():
            if not isinstance(key, str | int):
                raise _not_plain(key)
            if key == "_target_":
                if not isinstance(value, str):
                    raise _not_plain(value)
                yield value
        for part in (*config.keys(), *config.values()):
            yield from _targets(part)
    elif isinstance(config, list | tuple):
        for part in config:
            yield from _targets(part)
    elif type(config) not in _PLAIN:
        raise _not_plain(config)
    elif isinstance(config, str) and "${" in config:
        raise ValueError(
            f"A saved config holds the reference {config[:80]!r}, which is never followed: configs "
            "are saved with their values. Train again, or restore the file."
        )


def is_listed(target: str) -> bool:
    """Return whether a file may name a function or class, without trust in anybody's package."""
    if target in _NAMES or target in _CONSENTED:
        return True
    package, _, name = target.rpartition(".")
    for public, names in ALLOWED.items():
        if name in names.split() and package.startswith(f"{public}."):
            # Ours or torch's, by a name that stands above: no code of the file's choice is run.
            listed = getattr(importlib.import_module(public), name)
            if target == f"{listed.__module__}.{listed.__qualname__}":
                return True
    return False


def _refusal(target: str, trusted: Sequence[str]) -> ValueError:
    own = "" if not trusted else f" or classes of {', '.join(trusted)}"
    return ValueError(
        f"A saved config wants to build {target[:80]!r}, which is not among the models, data and "
        f"modules that a file may name{own}. Nothing was run. If it is a class of your own, name "
        "its package: trusted=[my_package]."
    )


def _not_plain(value: Any) -> ValueError:
    return ValueError(
        f"A saved config holds a {type(value).__name__}, wanted plain data only: texts, numbers, "
        "lists and mappings. Train again, or restore the file."
    )
