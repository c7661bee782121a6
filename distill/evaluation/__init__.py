"""distill.evaluation."""
