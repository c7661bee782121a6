"""distill.stages."""
