"""distill.objectives."""
