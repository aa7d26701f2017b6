"""A web server of this machine that answers what a test tells it to, also wrongly."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODIFIED = "Tue, 14 Nov 2023 22:13:20 GMT"
MODIFIED_MICROSECONDS = 1_700_000_000_000_000


class Site:
    """What the server holds: `files` by path with query, `answers` to give first (status, or a word for a trick)."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.files: dict[str, bytes] = {}
        self.answers: dict[str, list[int | str]] = {}
        self.requests: Counter[str] = Counter()
        self.headers: list[dict[str, str]] = []
        self.connections: set[Any] = set()
        self.sent = 0
        self.ranges = True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def do_GET(self) -> None:
        site = self.site
        site.requests[self.path] += 1
        site.headers.append({name.lower(): value for name, value in self.headers.items()})
        site.connections.add(self.client_address)
        answers = site.answers.get(self.path, [])
        answer = answers.pop(0) if answers else 200
        data = site.files.get(self.path)
        if isinstance(answer, int) and answer != 200:
            self.refuse(answer)
        elif data is None:
            self.refuse(404)
        elif answer == 200:
            self.give(data)
        else:
            getattr(self, str(answer))(data)

    def refuse(self, status: int) -> None:
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "1")
        if status == 302:
            self.send_header("Location", "/moved.jpg")
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"oops")

    def give(self, data: bytes) -> None:
        asked = self.headers.get("Range")
        if asked and self.site.ranges:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            part = data[int(first) : int(last) + 1 if last else None]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}")
        else:
            part = data
            self.send_response(200)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Last-Modified", MODIFIED)
        self.end_headers()
        self.wfile.write(part)
        self.site.sent += len(part)

    def short(self, data: bytes) -> None:
        """Promise the whole file, send the half of it."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2])
        self.close_connection = True

    def half_chunked(self, data: bytes) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.close_connection = True

    def hang_up(self, data: bytes) -> None:
        self.close_connection = True

    def silent(self, data: bytes) -> None:
        time.sleep(1)
        self.close_connection = True

    def drip(self, data: bytes) -> None:
        """Send a byte now and then, for a second."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        try:
            for byte in data[:20]:
                self.wfile.write(bytes([byte]))
                time.sleep(0.05)
        except OSError:
            pass
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Be quiet."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error here."""


@contextmanager
def serving() -> Iterator[Site]:
    handler = type("Handler", (_Handler,), {})
    server = _Server(("127.0.0.1", 0), handler)
    handler.site = Site(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield handler.site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
