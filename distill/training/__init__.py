"""Training: one loop, checkpoints, averaging, tracking."""

from distill.models.checkpoint import Checkpoint, load, read_checkpoint
from distill.training.ema import EMA
from distill.training.muon import Muon
from distill.training.sessions import session
from distill.training.tracker import Tracker
from distill.training.trainer import Trainer

__all__ = [
    "EMA",
    "Checkpoint",
    "Muon",
    "Tracker",
    "Trainer",
    "load",
    "read_checkpoint",
    "session",
]
