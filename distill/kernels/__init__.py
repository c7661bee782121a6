"""Compiled fast paths, each with a plain twin that it is checked against."""
