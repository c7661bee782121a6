"""The command line, `distill STAGE [overrides]`."""

from distill.cli.app import main

__all__ = ["main"]
