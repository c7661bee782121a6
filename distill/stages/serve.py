"""Serve exported students on this machine: wav for mel or audio, a stream, and a page.

POST /synthesize takes a mel (.npy or JSON) or audio (wav, flac) and gives wav; the websocket
/stream takes frames and gives samples; GET /about says what is served; GET / is a page to hear
and see it. `voices` names several files or runs, which share workers and limits; clients choose by
voice=NAME. Without `examples` the page shows the clips that `distill evaluate` left in the run.
"""

from __future__ import annotations

from omegaconf import DictConfig

from distill.instantiate import build
from distill.stages.export_file import voices_of
from distill.stages.folders import device_of


def run(config: DictConfig) -> dict[str, float]:
    """Serve until interrupted.

    Errors:
        ValueError: The packages of the extra `serve` are missing; an address beyond loopback
            without `public`; a cluster without replicas; a file that can't be served.
    """
    if config.cluster is not None and config.replicas is None:
        raise ValueError(
            f"cluster={config.cluster}: wanted replicas=N beside it, got none. Say how many "
            "processes the cluster is to run, or leave out cluster=."
        )
    try:
        from distill.serving.replicas import serve_replicas
        from distill.serving.run import serve
        from distill.serving.tokens import read_token
    except ModuleNotFoundError as error:
        raise ValueError(
            f"distill serve wants the package {error.name}: pip install 'distill[serve]'."
        ) from None
    device_of(config)  # sets the number of threads
    limits = build(config.limits)
    many = {}
    if config.replicas is not None:
        many = {"replicas": config.replicas, "cluster": config.cluster}
    try:
        (serve_replicas if many else serve)(
            voices_of(config),
            host=config.host,
            port=config.port,
            public=config.public,
            limits=limits,
            token=read_token(config.token_file),
            **many,
        )
    except KeyboardInterrupt:
        print("stopped")
    return {}
