"""Build objects from configs: the one place that calls `hydra.utils.instantiate`."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import hydra.utils
from hydra.errors import HydraException, InstantiationException
from omegaconf import OmegaConf

from distill.trust import check_config

_UNKNOWN = re.compile(r"(\w+)(?:\.__init__)?\(\) got an unexpected keyword argument '(\w+)'")


def build(config: Any, trusted: Sequence[str] | None = None, **extra: Any) -> Any:
    """Instantiate a config node with a `_target_`.

    Arguments:
        config: A node, or plain containers.
        trusted: For configs that came out of a file: the user's own packages, whose classes may be
            built beside those of `distill.trust.ALLOWED`. `None` trusts every target, as for the
            user's own command line.
        extra: More arguments for the constructor.

    Errors:
        ValueError: A target that a file may not name; a number that is not finite; what the
            constructor itself raises.

    Example:
        >>> build({"_target_": "distill.bijectors.Shift"})
        Shift()
    """
    if OmegaConf.is_config(config):
        if trusted is not None:
            check_config(OmegaConf.to_container(config), _plain(trusted))
        config = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    check_finite(config)
    if trusted is not None:
        check_config(config, _plain(trusted))
    if trusted is not None and not (isinstance(config, Mapping) and "_target_" in config):
        raise ValueError(
            f"A saved config wanted a mapping with a _target_ to build, got {str(config)[:80]!r}. "
            "Train again, or restore the file."
        )
    _check_factories(config)
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
        unknown = _UNKNOWN.search(str(cause)) if isinstance(cause, TypeError) else None
        if unknown:
            raise ValueError(
                f"{unknown[1]} takes no {unknown[2]}. Leave it out, or choose what does."
            ) from error
        raise ValueError(str(error).replace("\n", " ")) from error


def _check_factories(config: Any) -> None:
    """Raise if what is to be called later, as an optimizer, is given what it does not take."""
    if not isinstance(config, Mapping | list | tuple):
        return
    for part in config.values() if isinstance(config, Mapping) else config:
        _check_factories(part)
    if not (isinstance(config, Mapping) and config.get("_partial_")):
        return
    try:
        taken = inspect.signature(hydra.utils.get_object(config["_target_"])).parameters
    except (KeyError, ImportError, TypeError, ValueError, HydraException):
        return  # instantiation says what is wrong
    given = [str(key) for key in config if not str(key).startswith("_")]
    unknown = [key for key in given if key not in taken]
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in taken.values()):
        raise ValueError(
            f"{config['_target_']} takes no {', '.join(unknown)}. Leave it out, or choose what "
            "does."
        )


def check_finite(config: Any, place: str = "") -> None:
    """Raise where a setting is NaN or infinity: comparisons let NaN pass, and no setting means it.

    Arguments:
        config: Plain containers, or a value.
        place: Dotted key of it.

    Example:
        >>> check_finite({"data": {"noise": math.nan}})
        Traceback (most recent call last):
        ValueError: data.noise: wanted a finite number, got nan.
    """
    if isinstance(config, Mapping):
        for key, value in config.items():
            check_finite(value, f"{place}.{key}" if place else str(key))
    elif isinstance(config, list | tuple):
        for value in config:
            check_finite(value, place)
    elif isinstance(config, float) and not math.isfinite(config):
        raise ValueError(f"{place}: wanted a finite number, got {config}.")


def _plain(trusted: Any) -> Any:
    return OmegaConf.to_container(trusted) if OmegaConf.is_config(trusted) else trusted
