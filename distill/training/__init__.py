"""distill.training."""
