"""Mixed precision, recomputation and functorch transforms, as layers ask for them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.utils.parametrize import is_parametrized
from torch.utils._python_dispatch import _get_current_dispatch_mode
from torch.utils.checkpoint import checkpoint


def is_transformed() -> bool:
    """Return whether `torch.func` or forward-mode differentiation sees what is computed now.

    Tensors are then wrapped: what is kept of them outlives the transform, and can't be copied.

    Example:
        >>> torch.func.vmap(lambda x: x * is_transformed())(torch.ones(2)).tolist()
        [1.0, 1.0]
        >>> is_transformed()
        False
    """
    return torch._C._functorch.maybe_current_level() is not None or forward_ad._current_level >= 0


def may_look(*values: Tensor) -> bool:
    """Return whether values are plain numbers of a CPU, which code may read and branch on now.

    It may not inside of transforms, traces, exports and counters of operations.

    Example:
        >>> may_look(torch.zeros(1)), may_look(torch.zeros(1, device="meta"))
        (True, False)
    """
    return (
        not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and not is_transformed()
        and _get_current_dispatch_mode() is None
        and all(type(v) in (Tensor, nn.Parameter) and v.device.type == "cpu" for v in values)
    )


def is_backward() -> bool:
    """Return whether a backward pass is on, in which layers are computed again.

    Example:
        >>> is_backward()
        False
    """
    return torch._C._current_graph_task_id() != -1


def is_autocast(device: torch.device) -> bool:
    """Return whether products on a device are in mixed precision now; `meta` does not know it.

    Example:
        >>> with torch.autocast("cpu", torch.bfloat16):
        ...     is_autocast(torch.device("cpu")), is_autocast(torch.device("meta"))
        (True, False)
    """
    # torch.amp.is_autocast_available says which devices know it, and can't be compiled.
    return device.type != "meta" and torch.is_autocast_enabled(device.type)


def without_autocast(device: torch.device) -> AbstractContextManager:
    """Return a context without mixed precision; none at all where there is nothing to switch off.

    Example:
        >>> with torch.autocast("cpu", torch.bfloat16), without_autocast(torch.device("cpu")):
        ...     nn.Linear(1, 1)(torch.zeros(1)).dtype
        torch.float32
    """
    return torch.autocast(device.type, enabled=False) if is_autocast(device) else nullcontext()


def in_full(compute: Callable[[], Tensor], like: Tensor) -> Tensor:
    """Compute without autocast; an exported graph then has no region of autocast at all.

    Arguments:
        compute: What to compute.
        like: Of the device in question.

    Example:
        >>> layer, x = nn.Linear(1, 1), torch.zeros(1)
        >>> with torch.autocast("cpu", torch.bfloat16):
        ...     layer(x).dtype, in_full(lambda: layer(x), x).dtype
        (torch.bfloat16, torch.float32)
    """
    with without_autocast(like.device):
        return compute()


def in_full_precision(layer: nn.Module, h: Tensor) -> Tensor:
    """Compute a layer in its own precision, under autocast too.

    For the last layer of a conditioner: what it gives becomes locations and log-scales.

    Example:
        >>> with torch.autocast("cpu", torch.bfloat16):
        ...     in_full_precision(nn.Linear(2, 1), torch.ones(1, 2)).dtype
        torch.float32
    """
    weight: Any = layer.weight
    return in_full(lambda: layer(h.to(weight.dtype)), h)


def passes_gradient(module: nn.Module, *values: Tensor) -> bool:
    """Return whether a backward pass will go through what a module makes of values.

    Inside a functional transform or a trace there is none to prepare for.

    Example:
        >>> layer, x = nn.Linear(1, 1).requires_grad_(False), torch.zeros(1)
        >>> passes_gradient(layer, x), passes_gradient(layer, x.requires_grad_())
        (False, True)
    """
    if not torch.is_grad_enabled() or is_transformed() or torch.compiler.is_compiling():
        return False
    return any(value.requires_grad for value in (*values, *module.parameters()))


def may_draw(module: nn.Module) -> bool:
    """Return whether a module may take random numbers now: it drops, or has parts unknown to us.

    Example:
        >>> net = nn.Sequential(nn.Linear(1, 1), nn.Dropout(0.5))
        >>> may_draw(net), may_draw(net.eval()), may_draw(nn.Linear(1, 1))
        (True, False, False)
    """
    return any(
        part.training
        and (
            bool(getattr(part, "dropout", 0.0) or isinstance(part, nn.modules.dropout._DropoutNd))
            or not type(part).__module__.startswith(("distill.", "torch.nn."))
        )
        for part in module.modules()
    )


def recomputed(compute: Callable[..., Any], *given: Any, draws: bool = False) -> Any:
    """Compute, keep the arguments alone, and compute again in the backward pass.

    Arguments:
        compute: What to compute.
        given: Its arguments.
        draws: Whether it takes random numbers: then the state of the generators is kept, so that it
            takes the same again. Our own networks take none.

    Example:
        >>> x = torch.ones(1, requires_grad=True)
        >>> recomputed(torch.exp, x).backward()
        >>> round(x.grad.item(), 3)
        2.718
    """
    return checkpoint(compute, *given, use_reentrant=False, preserve_rng_state=draws)


def has_hooks(module: nn.Module) -> bool:
    """Return whether a module has hooks of its own, that may change what it computes.

    Those of all modules, as torch's counters and profilers have, look on.

    Example:
        >>> layer = nn.Linear(1, 1)
        >>> hook = layer.register_forward_hook(lambda module, given, result: 2 * result)
        >>> has_hooks(layer), has_hooks(nn.Linear(1, 1))
        (True, False)
    """
    hooks = module._forward_hooks, module._forward_pre_hooks
    backward = module._backward_hooks, module._backward_pre_hooks
    return any(hooks) or any(backward)


def is_as_built(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Return whether a module computes what its class says, so that code may read its weights.

    It may not where another class replaces it, or hooks look on; parametrized weights are read as
    others are.

    Example:
        >>> is_as_built(nn.Linear(1, 1), nn.Linear), is_as_built(nn.Linear(1, 1), nn.Bilinear)
        (True, False)
    """
    own = type(module)
    if is_parametrized(module):  # its class is made for it, and derived from its former one
        own = own.__mro__[1]
    return own is kind and "forward" not in vars(module) and not has_hooks(module)


def check_recompute(recompute: bool | str) -> bool | str:
    """Return a way to recompute, if it is one.

    Errors:
        ValueError: It is none.
    """
    if recompute not in (False, True, "activations", "outputs"):
        raise ValueError(
            f"recompute: wanted false, activations (or true) or outputs, got {recompute!r}."
        )
    return recompute


def at_least_single(value: Tensor) -> Tensor:
    """Return a value in float32 or better, since what follows adds up over layers and sites.

    Example:
        >>> at_least_single(torch.zeros(1, dtype=torch.bfloat16)).dtype
        torch.float32
    """
    return value.float() if value.dtype in (torch.bfloat16, torch.float16) else value
