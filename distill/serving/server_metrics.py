"""What a server counts about itself, for Prometheus to fetch."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    ProcessCollector,
    generate_latest,
)

_FACTORS = (0.25, 0.5, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0)
_WAITS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


Gather = Callable[[CollectorRegistry], Awaitable[list[Metric]]]
"""Returns what is counted, here and perhaps elsewhere, for a server's registry."""


class ServerMetrics:
    """Counters, gauges and histograms of one server, in a registry of their own.

    Two servers in one process count apart. Threads may share it.

    Attributes:
        registry: Holds them all, and memory, processor time and open files of the process.
        requests: By endpoint and HTTP status; of a websocket 101 once it is open.
        received: Bytes of bodies and messages, by endpoint.
        sent: The same of answers.
        streams: Streams that are served now.
        closed: Streams that have ended, by the code that closed them.
        refused: Who was sent away with 503, by what there was too little of.
        queue: Chunks that wait for a worker.
        waits: Seconds that each chunk waited for one.
        synthesis: Seconds that workers spent on sound, by voice.
        samples: Made, by voice.
        sound: The same in seconds.
        factor: Real-time factor of each request and stream that was served to its end, by voice:
            seconds of sound per second from frames to samples, waiting included.

    Example:
        >>> metrics = ServerMetrics()
        >>> metrics.spoke("anna", seconds=0.5, samples=8000, rate=16000)
        >>> metrics.registry.get_sample_value("distill_sound_seconds_total", {"voice": "anna"})
        0.5
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "distill_requests",
            "Requests by endpoint and status; 101 is a stream that was opened.",
            ["endpoint", "status"],
            registry=registry,
        )
        self.received = Counter(
            "distill_received_bytes",
            "Bytes of bodies and messages that clients sent.",
            ["endpoint"],
            registry=registry,
        )
        self.sent = Counter(
            "distill_sent_bytes",
            "Bytes of bodies and messages that clients were sent.",
            ["endpoint"],
            registry=registry,
        )
        self.streams = Gauge("distill_open_streams", "Streams served now.", registry=registry)
        self.closed = Counter(
            "distill_closed_streams",
            "Streams that have ended, by the code that closed them; 1000 is their regular end.",
            ["code"],
            registry=registry,
        )
        self.refused = Counter(
            "distill_refused",
            "Clients sent away with 503, by what there was too little of.",
            ["reason"],
            registry=registry,
        )
        self.queue = Gauge(
            "distill_queue_length", "Chunks that wait for a worker now.", registry=registry
        )
        self.waits = Histogram(
            "distill_wait_seconds",
            "Time that each chunk waited for a worker.",
            buckets=_WAITS,
            registry=registry,
        )
        self.synthesis = Counter(
            "distill_synthesis_seconds",
            "Time that workers spent on sound.",
            ["voice"],
            registry=registry,
        )
        self.samples = Counter("distill_samples", "Samples made.", ["voice"], registry=registry)
        self.sound = Counter(
            "distill_sound_seconds", "Duration of the samples made.", ["voice"], registry=registry
        )
        self.factor = Histogram(
            "distill_real_time_factor",
            "Seconds of sound per second of each request and stream, waiting included.",
            ["voice"],
            buckets=_FACTORS,
            registry=registry,
        )

    def spoke(self, voice: str, seconds: float, samples: int, rate: int) -> None:
        """Count a chunk.

        Arguments:
            voice: Its name.
            seconds: That a worker took.
            samples: That it gave.
            rate: Samples per second.
        """
        self.synthesis.labels(voice).inc(seconds)
        self.samples.labels(voice).inc(samples)
        self.sound.labels(voice).inc(samples / rate)


async def alone(registry: CollectorRegistry) -> list[Metric]:
    """Return what one server counts."""
    return list(registry.collect())


def exposition(families: Iterable[Metric]) -> bytes:
    """Return families of metrics as Prometheus text, without the times of their creation."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Given(list(families)))
    return generate_latest(registry)


class _Given:
    """A collector of what was collected before."""

    def __init__(self, families: list[Metric]) -> None:
        self.families = families

    def collect(self) -> Iterator[Metric]:
        for family in self.families:
            kept = Metric(family.name, family.documentation, family.type)
            kept.samples = [s for s in family.samples if not s.name.endswith("_created")]
            yield kept
