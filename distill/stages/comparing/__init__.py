"""Runs side by side: what their folders hold, and the table and page made of it."""
