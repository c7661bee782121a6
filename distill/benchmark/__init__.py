"""Sampling speed: fixed work, competitors in turns, and the machine's roofs in the same run."""
