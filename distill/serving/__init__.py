"""Sounds as they are made: sources of frames, sinks of samples, a server and its page."""

from distill.serving.metrics import StreamMetrics
from distill.serving.sinks import check_sink, open_sink, pcm
from distill.serving.sources import open_source

__all__ = ["StreamMetrics", "check_sink", "open_sink", "open_source", "pcm"]
