"""distill.kernels."""
