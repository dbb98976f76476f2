"""HTTP for the page of `serve`: for browsers on this machine, and for no page of anybody else.

A web page from elsewhere must not reach the server through the browser that shows it: requests name 127.0.0.1 or
localhost as their host (a name that was made to point here does not), and photos come from the page itself.
"""

import base64
import hashlib
import http.server
import json
import re
import sys
from collections.abc import Callable
from http import HTTPStatus

from ghostnet_tf.commands import BadInput
from ghostnet_tf.tflite import pages, predictions
from ghostnet_tf.tflite.answers import TOP, Comparison, NoAnswer
from ghostnet_tf.training.images import EXTENSIONS

ADDRESS = "127.0.0.1"
LIMIT = 32 << 20  # bytes of a photo
SILENCE = 30  # seconds after which a connection that sends nothing is closed


class Refused(Exception):
    """A request that gets an error instead of an answer."""

    def __init__(self, status: HTTPStatus, message: str):
        super().__init__(message)
        self.status = status


class Server(http.server.ThreadingHTTPServer):
    """Serves the page and answers its photos, which stay in memory.

    Args:
        port: Of 127.0.0.1; 0 takes a free one.
        comparison: What answers.

    Attributes:
        address: Of the page.

    Raises:
        BadInput: If it cannot listen there.
    """

    def __init__(self, port: int, comparison: Comparison):
        page = pages.render(
            "serve.html",
            {
                "title": "Try a model",
                "rendering": "pixelated" if comparison.about[0]["size"] < predictions.PICTURE_SIZE else "auto",
                "files": comparison.about,
                "classes": len(comparison.classes),
                "top": min(TOP, len(comparison.classes)),
                "measured": comparison.measured(),
                "accept": ",".join(sorted(EXTENSIONS)),
                "limit": LIMIT,
            },
        )
        self.page, self.policy, self.answer = page.encode(), policy(page), comparison.answer
        try:
            super().__init__((ADDRESS, port), Handler)
        except OSError as error:
            way_out = "give another --port, or 0 for a free one"
            raise BadInput(f"cannot listen on port {port} of {ADDRESS} ({error.strerror}); {way_out}") from error
        self.address = f"http://{ADDRESS}:{self.server_port}/"
        ending = "" if self.server_port == 80 else f":{self.server_port}"  # browsers leave 80 out
        self.hosts = {f"{name}{ending}" for name in (ADDRESS, "localhost")}

    def handle_error(self, request, client_address) -> None:
        """A browser that goes away is no error; anything else is one of ours and keeps its traceback."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(http.server.BaseHTTPRequestHandler):
    """`GET /` gives the page, `POST /answers` with an encoded photo as its body the answers as JSON."""

    server: Server
    timeout = SILENCE

    def version_string(self) -> str:
        return "ghostnet-tf"

    def do_GET(self) -> None:
        self._respond(self._page)

    def do_POST(self) -> None:
        self._respond(self._answers)

    def _respond(self, make: Callable[[], tuple[str, bytes]]) -> None:
        try:
            hosts = self.headers.get_all("Host", [])
            if len(hosts) != 1 or hosts[0] not in self.server.hosts:
                raise Refused(HTTPStatus.FORBIDDEN, f"expected the page to be opened as {self.server.address}")
            kind, content = make()
        except Refused as error:
            self.send_error(error.status, str(error))
        else:
            self._send(HTTPStatus.OK, kind, content)

    def _page(self) -> tuple[str, bytes]:
        self._expect_path("/")
        return "text/html; charset=utf-8", self.server.page

    def _answers(self) -> tuple[str, bytes]:
        self._expect_path("/answers")
        # Browsers name the page that asks; programs such as curl do not.
        if self.headers.get("Origin", f"http://{self.headers['Host']}") != f"http://{self.headers['Host']}":
            raise Refused(
                HTTPStatus.FORBIDDEN, "expected a photo from the page itself. Received: one from another page"
            )
        try:
            answer = self.server.answer(self._body())
        except NoAnswer as error:
            raise Refused(HTTPStatus.BAD_REQUEST, str(error)) from error
        return "application/json", json.dumps(answer, allow_nan=False).encode()

    def _expect_path(self, path: str) -> None:
        if self.path != path:
            raise Refused(HTTPStatus.NOT_FOUND, f"expected {self.command} {path}. Received: {self.path[:100]}")

    def _body(self) -> bytes:
        """The photo, no byte of which is read before its length is known to be allowed."""
        lengths = self.headers.get_all("Content-Length", [])
        if "Transfer-Encoding" in self.headers or len(lengths) != 1:
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "expected a photo in one piece, with its Content-Length")
        if not re.fullmatch("[0-9]{1,15}", lengths[0]):
            raise Refused(HTTPStatus.BAD_REQUEST, f"expected a Content-Length. Received: {lengths[0][:30]!r}")
        length = int(lengths[0])
        if length > LIMIT:
            allowed, given = LIMIT / (1 << 20), length / (1 << 20)
            message = f"expected a photo of at most {allowed:.0f} MB. Received: {given:.1f} MB"
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
        photo = self.rfile.read(length)
        if len(photo) < length:
            message = f"expected a photo of {length:,} bytes. Received: {len(photo):,}, then the end"
            raise Refused(HTTPStatus.BAD_REQUEST, message)
        return photo

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Errors are JSON, also those of requests that Python's parser refuses."""
        content = json.dumps({"error": message or HTTPStatus(code).phrase}).encode()
        self._send(HTTPStatus(code), "application/json", content)

    def _send(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(content))),
            ("Content-Security-Policy", self.server.policy),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cache-Control", "no-store"),
        ):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *words: object) -> None:
        """Nothing: the page says what went wrong."""


def policy(page: str) -> str:
    """The Content-Security-Policy under which a page has only what is in it, and talks to its own server."""

    def allowed(tag: str) -> str:
        digests = [
            hashlib.sha256(text.encode()).digest() for text in re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        ]
        return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)

    return "; ".join(
        [
            "default-src 'none'",
            f"style-src {allowed('style')}",
            f"script-src {allowed('script')}",
            "img-src data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ]
    )
