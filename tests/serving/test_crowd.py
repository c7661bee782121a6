"""A crowd at the size limit: who asks for little is served meanwhile, and memory is bounded."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from distill.serving.limits import Limits

from .client import hung_up, npy, post, sound, wave_of
from .conftest import BANDS, CLIENT, HOP, RATE, opened
from .conftest import connect as connected
from .test_endurance import answer_on, line_to

UPLOADS = 64
SIZE = Limits().bytes
CROWD = f"""
import collections, json, socket, sys, threading

address, files = sys.argv[1], [open(path, "rb").read() for path in sys.argv[2:]]
host, port = address.split(":")
told, stop = collections.Counter(), threading.Event()

def upload(body):
    wait = 0
    while not stop.wait(wait):  # whoever is sent away comes again when told to
        wait, answer = 0.1, b""
        try:
            line = socket.create_connection((host, int(port)), timeout=60)
        except OSError:  # the server has ended
            continue
        try:
            with line:
                head = f"POST /synthesize HTTP/1.1\\r\\nHost: {{address}}\\r\\n"
                head += f"Connection: close\\r\\nContent-Length: {{len(body)}}\\r\\n\\r\\n"
                try:
                    line.sendall(head.encode() + body)
                except OSError:
                    pass
                while part := line.recv(65536):
                    answer += part
        except OSError:
            pass
        told[answer[9:12].decode()] += 1
        if b"retry-after: " in answer:
            wait = int(answer.split(b"retry-after: ")[1].split()[0])

threads = [threading.Thread(target=upload, args=(files[i % 4],)) for i in range({UPLOADS})]
for thread in threads:
    thread.start()
sys.stdin.readline()
stop.set()
for thread in threads:
    thread.join()
print(json.dumps(told))
"""


def members(root: int) -> list[int]:
    """Return a process and all below it."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            words = stat.read_text().rpartition(")")[2].split()
            parents[int(stat.parent.name)] = int(words[1])
    found = [root]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found


def memory(root: int) -> int:
    """Return the bytes that a process and all below it hold, what they share counted once."""
    total = 0
    for process in members(root):
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{process}/smaps_rollup").read_text()
            total += 1024 * sum(int(x.split()[1]) for x in text.splitlines() if x[:4] == "Pss:")
    return total


def bodies() -> list[bytes]:
    """Return bodies at the limit: sound, frames as text, too many frames, and nothing known."""
    wave = 0.1 * np.random.default_rng(0).normal(size=(59 * RATE, 8))
    file = io.BytesIO()
    soundfile.write(file, wave, RATE, "DOUBLE", format="WAV")
    number = "0." + "1" * (SIZE // (1000 * BANDS) - 4)
    row = "[" + ", ".join([number] * BANDS) + "]"
    text = '{"mel": [' + ", ".join([row] * 999) + "]}"
    frames = npy(np.zeros((SIZE // 4 // BANDS - 10, BANDS), np.float32))
    return [file.getvalue(), text.encode().ljust(SIZE), frames, bytes(SIZE)]


@pytest.mark.parametrize("keep", ["close", "keep-alive"])
def test_who_is_refused_while_it_sends_sees_the_answer(serving, mel, keep):
    with serving(Limits(megabytes=0.5)) as address:
        for path in ("synthesize", "nowhere"):
            with line_to(address) as line:
                head = f"POST /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: {keep}\r\n"
                line.sendall(f"{head}Content-Length: 1900000\r\n\r\n".encode() + bytes(1_900_000))
                answer = answer_on(line).decode()
            assert answer.startswith("HTTP/1.1 413" if path == "synthesize" else "HTTP/1.1 404")
            assert answer.count("HTTP/1.1") == 1
        assert len(wave_of(post(address, npy(mel)))) == 30 * HOP


def test_who_sends_without_end_after_its_answer_is_cut_off(serving):
    with serving(Limits(megabytes=0.1)) as address, line_to(address) as line:
        line.sendall(f"POST /synthesize HTTP/1.1\r\nHost: {address}\r\n".encode())
        line.sendall(b"Transfer-Encoding: chunked\r\n\r\n")
        piece = b"10000\r\n" + bytes(65536) + b"\r\n"
        with pytest.raises(OSError):
            line.sendall(1000 * piece)


def test_a_body_that_does_not_fit_is_refused_before_it_is_sent_and_small_ones_pass(
    serving, mel, slow_reader
):
    with serving(Limits(megabytes=1.0, held_megabytes=1.5)) as address:
        first = hung_up(address, sound(60).ljust(990_000))  # all there, and being read
        time.sleep(0.3)
        with line_to(address) as line:
            head = f"POST /synthesize HTTP/1.1\r\nHost: {address}\r\nContent-Length: 900000\r\n\r\n"
            line.sendall(head.encode())
            line.settimeout(5)
            assert line.recv(65536).startswith(b"HTTP/1.1 503")
        assert len(wave_of(post(address, npy(mel)))) == 30 * HOP
        first.close()
        time.sleep(0.5)
        with hung_up(address, bytes(900_000), part=0.5) as line:
            line.settimeout(0.5)
            with pytest.raises(TimeoutError):  # there is room for it now
                line.recv(1)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="memory is read in /proc")
def test_sixty_four_uploads_at_the_limit_keep_nobody_waiting_and_little_memory(server, tmp_path):
    process, address, temporary = server
    kinds, small = bodies(), npy(np.zeros((10, BANDS), np.float32))
    assert all(SIZE * 0.9 < len(body) <= SIZE for body in kinds)
    tone = io.BytesIO()
    soundfile.write(tone, 0.1 * np.sin(np.arange(RATE)), RATE, format="WAV")
    assert post(address, tone.getvalue(), "/features").status_code == 200  # the readers are there
    for _ in range(3):
        assert len(wave_of(post(address, small))) == 10 * HOP
    rest, stop, most = memory(process.pid), threading.Event(), [0]

    def watch() -> None:
        while not stop.is_set():
            most[0] = max(most[0], memory(process.pid))
            time.sleep(0.05)

    for i, body in enumerate(kinds):
        (tmp_path / f"{i}.body").write_bytes(body)
    crowd = subprocess.Popen(
        [sys.executable, "-c", CROWD, address, *map(str, sorted(tmp_path.glob("*.body")))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    watcher = threading.Thread(target=watch)
    watcher.start()
    times, until = [], time.monotonic() + 30
    try:
        with connected(f"ws://{address}/stream") as stream:
            opened(stream)
            while time.monotonic() < until:
                began = time.monotonic()
                got = CLIENT.post(f"http://{address}/synthesize", content=small)
                times.append(time.monotonic() - began)
                assert len(wave_of(got)) == 10 * HOP
                stream.send(bytes(4 * BANDS))
                stream.recv()
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
        ended = time.monotonic() - began
    finally:
        stop.set()
        watcher.join()
        said, _ = crowd.communicate("end")
    print(
        f"{len(times)} small requests, the slowest {max(times):.2f} s, median "
        f"{np.median(times):.3f} s; {(most[0] - rest) / 1e6:,.0f} MB above {rest / 1e6:,.0f} MB at "
        f"rest; ended after {ended:.2f} s; the crowd got {said}"
    )
    told = json.loads(said)
    assert told.pop("", 0) <= UPLOADS  # cut off by the end, and nobody before
    assert set(told) == {"200", "413", "415", "503"}
    assert max(times) < 1
    assert most[0] - rest < 1e9
    assert ended < 5
    assert not [path for path in temporary.rglob("*") if path.is_file()]
    assert not list(temporary.glob("distill-serve-*"))
