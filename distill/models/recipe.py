"""How a model was built, as plain data: what a saved model is built from again."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from torch import nn

from distill.contract import DataSpec
from distill.distributions import Base
from distill.trust import consent

P = ParamSpec("P")
M = TypeVar("M", bound=nn.Module)

_PLAIN = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class Recipe:
    """The config node that builds a model, or why there is none.

    Arguments:
        node: `_target_` and arguments, plain containers; the data spec is not among them.
        unsaid: What can't be written down, empty where all can.
    """

    node: dict[str, Any]
    unsaid: str = ""


def builder(build: Callable[P, M]) -> Callable[P, M]:
    """Let the models of a function or class know how they were built, so that they can be saved.

    The first parameter takes the data spec. The others are to be plain values, lists or mappings of
    them, or factories: a class, or `functools.partial` of one.

    Arguments:
        build: A function that returns a model, or a class of models, at the top of a module.

    Errors:
        ValueError: From what it returns, where something else is given in place of the spec.

    Example:
        >>> from distill.contract import DataSpec
        >>> from distill.models import maf
        >>> maf(DataSpec(sites=2), layers=1, hidden=[4]).recipe.node
        {'_target_': 'distill.models.maf', 'layers': 1, 'hidden': [4]}
    """
    if isinstance(build, type):
        return _recording_class(build)

    @functools.wraps(build)
    def recorded(*args: P.args, **kwargs: P.kwargs) -> M:
        _check_spec(build, build, args, kwargs)
        model = build(*args, **kwargs)
        recipe: Any = _recipe(recorded, inspect.signature(build), args, kwargs)
        model.recipe = recipe
        return model

    return recorded


def register(build: Callable[P, M]) -> Callable[P, M]:
    """Let own models be saved, and loaded again wherever this was called: a decorator.

    Naming it in running code is consent to build it from a file; elsewhere `trusted=[PACKAGE]` is.

    Arguments:
        build: As for `builder`.

    Errors:
        ValueError: It has no name that another process could import.
    """
    name = f"{build.__module__}.{build.__qualname__}"
    if "<" in name or "." in build.__qualname__:
        raise ValueError(
            f"register: wanted a function or class at the top of a module that can be imported, "
            f"got {build!r}. Move it into a module of your own."
        )
    made: Any = builder(build)
    made._registered_as = name  # its module does not hold it yet
    consent(name)
    return made


def recipe_of(model: nn.Module) -> dict[str, Any]:
    """Return the config node that builds a model.

    Errors:
        ValueError: It was not built by a builder, or of something that can't be written down.
    """
    recipe = getattr(model, "recipe", None)
    if recipe is None:
        raise ValueError(
            f"save: wanted a model that knows how it was built, got a {type(model).__name__} that "
            "was put together by hand. Build it in a function under @distill.register."
        )
    if recipe.unsaid:
        raise ValueError(
            f"save: {recipe.unsaid} can't be written down. Give plain values, a class, or "
            "functools.partial of a class, or build the model in a function under "
            "@distill.register."
        )
    return recipe.node


def name_of(thing: Any) -> str | None:
    """Return a dotted name that leads to a function or class, `None` where there is none.

    Example:
        >>> from distill.bijectors import Affine
        >>> name_of(Affine), name_of(lambda: 0)
        ('distill.bijectors.Affine', None)
    """
    registered = getattr(thing, "__dict__", {}).get("_registered_as")
    if registered:
        return registered
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    if not module or not name or "<" in name or "." in name:
        return None
    parts = module.split(".")
    for count in range(min(2, len(parts)), len(parts) + 1):
        home = ".".join(parts[:count])
        try:
            found = getattr(importlib.import_module(home), name, None)
        except ImportError:
            continue
        if found is thing:
            return f"{home}.{name}"
    return None


def _check_spec(
    build: Any, call: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> None:
    first = next(iter(inspect.signature(call).parameters), "")
    for given in args[:1] or [kwargs[name] for name in kwargs if name == first]:
        if not isinstance(given, DataSpec):
            raise ValueError(
                f"{build.__name__}: wanted a DataSpec first, got {type(given).__name__}. Give "
                "data.spec, of data from as_data."
            )


def _recipe(
    target: Any, signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Recipe:
    given = dict(signature.bind(*args, **kwargs).arguments)
    given.pop(next(iter(signature.parameters)), None)  # the spec travels beside
    name = name_of(target)
    if name is None:
        return Recipe({}, f"{target!r}, which no other process could import,")
    try:
        return Recipe({"_target_": name, **{k: _plain(k, v) for k, v in given.items()}})
    except _UnsaidError as what:
        return Recipe({}, f"{name}: {what}")


class _UnsaidError(ValueError):
    pass


def _plain(place: str, value: Any) -> Any:
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, Mapping):
        return {str(k): _plain(f"{place}.{k}", v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(place, v) for v in value]
    if isinstance(value, functools.partial):
        keywords = {k: _plain(f"{place}.{k}", v) for k, v in value.keywords.items()}
        positional = {"_args_": [_plain(place, v) for v in value.args]} if value.args else {}
        return {**_plain(place, value.func), **positional, **keywords}
    always_the_same = isinstance(value, Base) and type(value).__init__ is nn.Module.__init__
    thing = type(value) if always_the_same else value
    name = name_of(thing) if callable(thing) else None
    if name is None:
        raise _UnsaidError(f"{place}={str(value)[:60]}")
    return {"_target_": name} if always_the_same else {"_target_": name, "_partial_": True}


def _recording_class(kind: Any) -> Any:
    """Record the arguments of a class's own constructor, not those of its bases or heirs."""
    construct = kind.__init__

    @functools.wraps(construct)
    def recorded(self: Any, *args: Any, **kwargs: Any) -> None:
        _check_spec(kind, functools.partial(construct, self), args, kwargs)
        construct(self, *args, **kwargs)
        if type(self) is kind:
            own = inspect.signature(functools.partial(construct, self))
            self.recipe = _recipe(kind, own, args, kwargs)

    kind.__init__ = recorded
    return kind
