"""Downloads from servers that stall, cut off, redirect, and send something else: one line, in time, nothing kept."""

import hashlib
import ssl
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import constants

from ghostnet_tf import commands
from ghostnet_tf.tflite import convert, sources
from ghostnet_tf.weights import download, fetch

TAG = "ghostnet_100.in1k"
CONTENT = hashlib.shake_256(b"weights").digest(400_000)
SIZE, HALF, SHA256 = len(CONTENT), len(CONTENT) // 2, hashlib.sha256(CONTENT).hexdigest()
WHOLE = {SHA256: SIZE, "model.safetensors": SIZE}  # what is in the cache in the end
SECONDS = 8  # that a server may keep us which stalls each of at most five connections for 0.5 s, on a busy machine


@pytest.fixture
def hub(hub):
    hub.serve(CONTENT)
    return hub


def one_after_another(*answers):
    """An answer to each request in turn."""
    waiting = iter(answers)
    return lambda request: next(waiting)(request)


# Stalls and connections that break.


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_a_server_that_does_not_answer(hub, refused, method):
    hub.instead[method] = hub.stalls
    assert refused("ReadTimeout") < SECONDS
    assert [request.split()[0] for request in hub.requests] == ["HEAD", "GET"][: 1 + (method == "GET")]
    assert hub.cached() == {}


def test_a_server_that_stalls_in_the_middle(hub, refused):
    hub.instead["GET"] = one_after_another(hub.breaks_off(0, HALF, hub.stalls), hub.stalls, hub.answer)
    assert refused("ReadTimeout") < SECONDS
    assert hub.cached() == {hub.partial: HALF}
    assert hub.ranges == [None, f"bytes={HALF}-"]
    assert fetch(TAG).read_bytes() == CONTENT
    assert hub.ranges[2:] == [f"bytes={HALF}-"]
    assert hub.cached() == WHOLE


def test_a_server_that_always_stalls_a_bit_further(hub, refused):
    part = SIZE // 10
    hub.instead["GET"] = one_after_another(
        *(hub.breaks_off(start, start + part, hub.stalls) for start in range(0, SIZE, part))
    )
    assert refused("ReadTimeout") < SECONDS
    assert len(hub.ranges) == download.TRIES
    assert hub.cached() == {hub.partial: download.TRIES * part}


@pytest.mark.parametrize("again", [HALF, 0])
def test_a_connection_that_breaks(hub, again):
    """It goes on where it was; from the beginning with a server that knows no ranges."""
    hub.instead["GET"] = one_after_another(hub.breaks_off(0, HALF), hub.breaks_off(again, SIZE))
    assert fetch(TAG).read_bytes() == CONTENT
    assert hub.ranges == [None, f"bytes={HALF}-"]
    assert hub.cached() == WHOLE


def test_a_body_that_always_ends_too_soon(hub, refused):
    hub.instead["GET"] = hub.breaks_off(0, HALF)
    refused("RemoteProtocolError: peer closed connection")
    assert len(hub.ranges) == 2  # the second came no further


@pytest.mark.parametrize(
    "length, body, message",
    [
        (None, CONTENT + b"more", f"expected {SIZE} bytes, received more"),
        (None, CONTENT[:HALF], f"expected {SIZE} bytes, received {HALF}"),
        (HALF, CONTENT[:HALF], f"expected {SIZE} bytes, received Content-Length {HALF}"),
    ],
)
def test_another_length_than_the_hub_stated(hub, refused, length, body, message):
    headers = {} if length is None else {"Content-Length": length}
    hub.instead["GET"] = lambda request: hub.send(request, 200, headers, body)
    refused(message)
    del hub.instead["GET"]
    assert fetch(TAG).read_bytes() == CONTENT


@pytest.mark.parametrize("rate, enough", [(2 * download.RATE, True), (download.RATE // 2, False)])
def test_slow_is_fine_and_a_trickle_is_not(hub, refused, monkeypatch, rate, enough):
    # The clock goes by the bytes on the disk, up to 8 kB of which are late: 20 s or 80 s for a file that may take 41 s.
    partial = Path(constants.HF_HUB_CACHE) / f"models--timm--{TAG}" / "blobs" / hub.partial
    monkeypatch.setattr(download, "time", SimpleNamespace(monotonic=lambda: partial.stat().st_size / rate))
    if enough:
        assert fetch(TAG, timeout=1).read_bytes() == CONTENT
    else:
        refused("expected 10 kB/s, received", timeout=1)


# Other answers than the file.


@pytest.mark.parametrize("method", ["HEAD", "GET"])
@pytest.mark.parametrize("status", [403, 404, 429, 500, 503])
def test_refusals_are_not_repeated(hub, refused, method, status):
    headers = {"Retry-After": 100_000, "Content-Length": 0}
    hub.instead[method] = lambda request: hub.send(request, status, headers)
    refused(str(status))
    assert len(hub.requests) == (1 if method == "HEAD" else 2)
    assert hub.cached() == {}


def test_a_refusal_does_not_cost_what_is_there(hub, refused):
    busy = {"Content-Length": 0}
    hub.instead["GET"] = one_after_another(hub.breaks_off(0, HALF), lambda request: hub.send(request, 503, busy))
    refused("503")
    assert hub.cached() == {hub.partial: HALF}


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_a_page_to_log_in(hub, refused, method):
    page = b"<html>Welcome to the hotel's network</html>"
    headers = {"Content-Type": "text/html; charset=utf-8", "ETag": '"1234"'}
    hub.instead[method] = lambda request: hub.send(request, 200, headers, page)
    refused(
        "expected the hub to state commit, sha256 and size, received none, 1234 and none"
        if method == "HEAD"
        else "expected a file, received a page"
    )
    assert hub.cached() == {}


def test_a_commit_that_is_a_path(hub, refused):
    headers = {"Content-Length": SIZE, "ETag": f'"{SHA256}"', "X-Repo-Commit": "../../../../elsewhere"}
    hub.instead["HEAD"] = lambda request: hub.send(request, 200, headers)
    refused(r"received \.\./\.\./")
    assert hub.cached() == {}


def test_other_content_of_the_same_size(hub, refused):
    hub.instead["GET"] = lambda request: hub.send(request, 200, {}, CONTENT[::-1])
    refused(f"expected sha256 {SHA256}, received")
    assert hub.cached() == {}


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_redirects_in_a_circle(hub, refused, method):
    hub.instead[method] = lambda request: hub.send(request, 302, {"Location": request.path, "Content-Length": 0})
    refused("expected at most 10 redirects, received another, to 127.0.0.1")
    assert len(hub.requests) == (11 if method == "HEAD" else 12)


def test_redirects_are_followed_to_the_end(hub):
    """The real hub redirects renamed repositories, and each file to a host for storage, where it states what it is."""
    linked = {"X-Linked-Etag": f'"{SHA256}"', "X-Linked-Size": SIZE, "X-Repo-Commit": hub.COMMIT, "ETag": '"1234"'}
    storage = {"Location": "/storage?signed", "Content-Length": 9}
    hub.instead = {
        "HEAD": one_after_another(
            lambda request: hub.send(request, 307, {"Location": f"/renamed{request.path}", "Content-Length": 0}),
            lambda request: hub.send(request, 302, storage | linked),
        ),
        "GET": one_after_another(
            lambda request: hub.send(request, 302, storage | linked, b"elsewhere"),
            lambda request: hub.send(request, 200, {}, CONTENT),
        ),
    }
    assert fetch(TAG).read_bytes() == CONTENT
    assert hub.requests[0] == hub.requests[1].replace("/renamed", "")
    assert hub.requests[-1] == "GET /storage?signed" and len(hub.requests) == 4


# https and proxies.


@pytest.fixture
def secure(hub, endpoint, tmp_path, monkeypatch):
    """A hub like `hub` that speaks https, with a certificate that is trusted once `secure.trust()` was called."""
    trustme = pytest.importorskip("trustme", reason="makes the certificate of a local https server")
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    secure = type(hub)(hub.path, context)
    secure.serve(CONTENT)

    def trust():
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        endpoint(secure.url)

    secure.trust = trust
    endpoint(secure.url)
    yield secure
    secure.close()


def test_https_with_a_certificate_of_nobody(secure, refused):
    refused("CERTIFICATE_VERIFY_FAILED")
    assert secure.requests == []
    secure.trust()
    assert fetch(TAG).read_bytes() == CONTENT


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_redirects_from_https_to_http_are_refused(hub, secure, refused, method):
    secure.trust()
    secure.instead[method] = lambda request: secure.send(
        request, 302, {"Location": hub.url + request.path, "Content-Length": 0}
    )
    refused("expected https, received a redirect to http://127.0.0.1")
    assert hub.requests == []
    assert hub.cached() == {}


def test_a_proxy_gets_the_requests(hub, endpoint, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", hub.url)
    endpoint("http://hub.invalid")
    hub.path = "http://hub.invalid" + hub.path
    assert fetch(TAG).read_bytes() == CONTENT
    sites = [request.split("/timm/")[0] for request in hub.requests]
    assert sites == ["HEAD http://hub.invalid", "GET http://hub.invalid"]


def test_a_proxy_for_https_that_refuses(hub, endpoint, monkeypatch, refused):
    monkeypatch.setenv("HTTPS_PROXY", hub.url)
    endpoint("https://hub.invalid")
    hub.instead["CONNECT"] = lambda request: hub.send(request, 407, {"Content-Length": 0})
    refused("ProxyError: 407")
    assert hub.requests == ["CONNECT hub.invalid:443"]


def test_the_command_says_it_in_a_line(hub, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sources, "HUB_TIMEOUT", 0.5)
    hub.instead["GET"] = hub.stalls
    output = tmp_path / "model.tflite"
    assert convert.main(["--weights", "imagenet", "--int8", "--output", str(output)]) == commands.MISSING
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: the weights {TAG} are not in the cache and timm/{TAG} on the hub could not be read")
    assert not output.exists()
