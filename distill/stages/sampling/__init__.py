"""What `distill sample` is asked for, and where it writes."""
