"""A token on request: who does not send it is refused, whichever way it comes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from websockets.exceptions import InvalidStatus

from distill.serving.run import check_public
from distill.serving.tokens import VARIABLE, Token, read_token

from .client import npy
from .conftest import CLIENT, HOP, connect, opened

SECRET = "kX3-_~.0123456789"
BEARER = {"Authorization": f"Bearer {SECRET}"}


@pytest.fixture(scope="module")
def guarded(serving):
    with serving(token=Token(SECRET)) as address:
        yield address


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/about"),
        ("GET", "/metrics"),
        ("POST", "/synthesize"),
        ("POST", "/features"),
        ("GET", "/examples/0/reference.wav"),
        ("GET", "/nowhere"),
        ("GET", "//health"),
        ("GET", "/health/"),
    ],
)
@pytest.mark.parametrize(
    "header",
    [None, "Bearer", f"Basic {SECRET}", f"Bearer {SECRET}x", SECRET, "Bearer \xff\xfe"],
)
def test_who_does_not_send_it_gets_401_whatever_is_asked(guarded, method, path, header):
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    refused = CLIENT.request(method, f"http://{guarded}{path}", headers=headers)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert "Authorization: Bearer" in refused.json()["error"]
    assert SECRET not in refused.text


def test_who_sends_it_is_served(guarded, mel):
    url = f"http://{guarded}"
    for word in ("Bearer", "bearer"):
        headers = {"Authorization": f"{word} {SECRET}"}
        assert CLIENT.get(f"{url}/about", headers=headers).status_code == 200
    made = CLIENT.post(f"{url}/synthesize", content=npy(mel), headers=BEARER)
    assert made.status_code == 200
    assert CLIENT.get(f"{url}/nowhere", headers=BEARER).status_code == 404


def test_health_and_the_page_want_none(guarded):
    for path in ("/health", "/", "/page/app.js"):
        assert CLIENT.get(f"http://{guarded}{path}").status_code == 200


def test_a_stream_takes_it_as_a_header_or_as_a_subprotocol_which_is_not_repeated(guarded, mel):
    url = f"ws://{guarded}/stream"
    offers = ["distill", f"distill.token.{SECRET}"]
    for options in ({"additional_headers": BEARER}, {"subprotocols": offers}):
        with connect(url, **options) as socket:
            opened(socket)
            assert socket.subprotocol == ("distill" if "subprotocols" in options else None)
            socket.send(mel.tobytes())
            assert len(np.frombuffer(socket.recv(), "<i2")) == 28 * HOP
    for options in (
        {},
        {"subprotocols": ["distill"]},
        {"subprotocols": ["distill", "distill.token.wrong-wrong-wrong"]},
        {"subprotocols": [SECRET]},
    ):
        with pytest.raises(InvalidStatus, match="401"), connect(url, **options):
            pass


def test_without_a_token_a_page_that_offers_the_subprotocol_is_served(address):
    with connect(f"ws://{address}/stream", subprotocols=["distill"]) as socket:
        assert opened(socket)["type"] == "ready"
        assert socket.subprotocol == "distill"


def test_it_is_read_from_a_file_or_taken_out_of_the_environment(tmp_path: Path, monkeypatch):
    (tmp_path / "token").write_text(f"{SECRET}\n")
    assert read_token(None) is None
    assert read_token(str(tmp_path / "token")).is_(SECRET.encode())
    monkeypatch.setenv(VARIABLE, SECRET)
    assert read_token(None).is_(SECRET.encode())
    assert VARIABLE not in os.environ
    assert SECRET not in json.dumps(vars(Token(SECRET)), default=repr)


def test_a_mark_of_the_byte_order_is_no_part_of_a_token(tmp_path: Path):
    (tmp_path / "token").write_text(SECRET, encoding="utf-8-sig")
    assert read_token(str(tmp_path / "token")).is_(SECRET.encode())


@pytest.mark.parametrize("content", ["", "short", "with spaces inside it", "ü" * 20, "x" * 600])
def test_what_can_be_no_token_is_refused_and_not_repeated(tmp_path: Path, content):
    (tmp_path / "token").write_text(content)
    with pytest.raises(ValueError, match="token_urlsafe") as refusal:
        read_token(str(tmp_path / "token"))
    assert not content or content not in str(refusal.value)
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_token(str(tmp_path / "nowhere"))


def test_a_public_address_is_warned_of_in_a_line_with_and_without(capsys):
    check_public("0.0.0.0", True, None)
    check_public("0.0.0.0", True, Token(SECRET))
    check_public("127.0.0.1", False, None)
    without, within = capsys.readouterr().err.splitlines()
    assert "no token (token_file=FILE)" in without
    assert "encrypts nothing" in within
    with pytest.raises(ValueError, match="public=true"):
        check_public("0.0.0.0", False, Token(SECRET))
