"""What the cost of a draw is measured over: length of values, batch, block."""

from __future__ import annotations

AXES = {
    "sites": "sites of a value",
    "batch": "values drawn at once",
    "block": "sites of a block",
}
"""What a cost grows over, and what its axis is called."""
ROLES = ("teacher", "student")
