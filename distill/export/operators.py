"""The operators that exported programs are made of: a loader runs no others."""

from __future__ import annotations

import re

# Arithmetic and shapes, nothing that reaches a file, memory that was never written, or code.
_ATEN = """
__and__ __or__ abs add add_ addcmul addmm alias all amax amin any arange argmax atan2 bmm
broadcast_to cat ceil chunk clamp
clamp_max clamp_min clone complex constant_pad_nd contiguous conv1d conv2d conv_transpose1d
conv_transpose2d convolution copy cos cosh cumprod cumsum detach detach_ diagonal div div_ dot
einsum elu embedding eq erf exp exp2 expand expand_as expm1 eye fft_irfft fft_rfft fill fill_
flatten flip floor floor_divide full full_like gather ge gelu gt hardtanh imag index index_copy
index_put index_select isfinite isnan item layer_norm le leaky_relu lerp lift_fresh_copy
linalg_solve_triangular linalg_vector_norm mT linear linspace log log10 log1p log2 log_sigmoid
log_softmax logical_and logical_not logical_or logsumexp lt masked_fill matmul max maximum mean min
minimum mish mm movedim mul mul_ mv narrow native_layer_norm ne neg new_full new_ones new_zeros
one_hot ones ones_like outer pad permute pow prod real reciprocal relu remainder repeat
repeat_interleave reshape roll round rsqrt rsub scalar_tensor scatter scatter_add searchsorted
select sigmoid sign silu sin sinh slice slice_scatter softmax softplus split split_with_sizes sqrt
square squeeze stack std sub sub_ sum sym_size t take_along_dim tan tanh to tril transpose triu
type_as unbind unflatten unfold unsqueeze var view view_as where zeros zeros_like
_assert_scalar _assert_tensor_metadata _log_softmax _softmax _to_copy _unsafe_view
sym_constrain_range sym_constrain_range_for_size
"""
_PYTHON = "add eq floordiv ge getitem gt le lt mod mul ne neg sub truediv"

_ALLOWED = {f"torch.ops.aten.{name}" for name in _ATEN.split()}
_OVERLOAD = re.compile(r"(torch\.ops\.aten\.\w+)\.(\w+)")
_ALLOWED_PYTHON = {f"_operator.{name}" for name in _PYTHON.split()}


def is_known_operator(target: str) -> bool:
    """Return whether exports of this package may call an operator, by the name in an archive.

    Example:
        >>> is_known_operator("torch.ops.aten.add.Tensor")
        True
        >>> is_known_operator("torch.ops.aten.from_file.default")
        False
    """
    if target in _ALLOWED_PYTHON:
        return True
    named = _OVERLOAD.fullmatch(target)
    return named is not None and named[1] in _ALLOWED and "out" not in named[2].split("_")
