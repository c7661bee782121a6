"""Build objects from configs: the one place that calls `hydra.utils.instantiate`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import hydra.utils
from hydra.errors import InstantiationException
from omegaconf import OmegaConf

_KNOWN = ("distill", "torch")


def build(config: Any, trusted: Sequence[str] | None = None, **extra: Any) -> Any:
    """Instantiate a config node with a `_target_`.

    Arguments:
        config: A node, or plain containers.
        trusted: For configs that came out of a file: packages, beside `distill` and `torch`, whose
            classes may be built. `None` trusts every target, as for the user's own command line.
        extra: More arguments for the constructor.

    Errors:
        ValueError: A target of a package that is not trusted; what the constructor itself raises.

    Example:
        >>> build({"_target_": "distill.bijectors.Shift"})
        Shift()
    """
    if OmegaConf.is_config(config):
        config = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    if trusted is not None:
        _check_targets(config, (*_KNOWN, *trusted))
    try:
        if not extra:
            return hydra.utils.instantiate(config, _convert_="all")
        # As a partial: Hydra would turn records among the extra arguments into config nodes.
        made = hydra.utils.instantiate({**config, "_partial_": True}, _convert_="all")
        inspect.signature(made.func).bind_partial(*made.args, **made.keywords)
        return made(**extra)
    except TypeError as error:
        raise ValueError(f"{config.get('_target_')}: {error}.") from error
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, (ValueError, OSError)):
            raise cause from None
        raise ValueError(str(error).replace("\n", " ")) from error


def _check_targets(config: Any, trusted: Sequence[str]) -> None:
    if isinstance(config, Mapping):
        target = config.get("_target_")
        if target is not None:
            _check_target(str(target), trusted)
        for value in config.values():
            _check_targets(value, trusted)
    elif isinstance(config, list | tuple):
        for value in config:
            _check_targets(value, trusted)


def _check_target(target: str, trusted: Sequence[str]) -> None:
    package = target.split(".")[0]
    home = package
    if package in trusted:
        # A dotted path may lead through a module's imports to somewhere else.
        home = (getattr(hydra.utils.get_object(target), "__module__", None) or "").split(".")[0]
    if home not in trusted:
        raise ValueError(
            f"The saved config wants to build {target!r}, which is not of a trusted package "
            f"({', '.join(trusted)}). If it is your own, name its package: trusted=[{package}]."
        )
