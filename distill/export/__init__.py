"""distill.export."""
