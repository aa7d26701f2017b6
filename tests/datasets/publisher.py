"""A web server of this machine that gives files as a publisher's does; it breaks off, lies or refuses when told."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Site:
    """`files` by path; `answers`: what to do first with each request of a path (a status, or a trick's name)."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.files: dict[str, bytes] = {}
        self.answers: dict[str, list[int | str]] = {}
        self.requests: Counter[str] = Counter()
        self.ranges: list[str] = []
        self.etag: str | None = '"one"'
        self.sent = 0

    def address(self, path: str) -> str:
        return f"{self.url}/{path}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def do_HEAD(self) -> None:
        data = self.site.files.get(self.path.lstrip("/"))
        self.head(404 if data is None else 200, len(data or b""))

    def do_GET(self) -> None:
        site, path = self.site, self.path.lstrip("/")
        site.requests[path] += 1
        answers = site.answers.get(path, [])
        answer = answers.pop(0) if answers else "give"
        data = site.files.get(path)
        if isinstance(answer, int):
            self.head(answer, 4)
            self.wfile.write(b"oops")
        elif data is None:
            self.head(404, 0)
        else:
            getattr(self, answer)(data)

    def head(self, status: int, length: int | None, **more: str) -> None:
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        if status in (301, 302):
            self.send_header("Location", "/elsewhere/photo_unavailable.png")
        if status in (200, 206) and self.site.etag:
            self.send_header("ETag", self.site.etag)
        for name, value in more.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def body(self, data: bytes) -> None:
        self.site.sent += len(data)
        self.wfile.write(data)

    def part(self, data: bytes, shift: int = 0) -> tuple[int, bytes, dict[str, str]]:
        """Return status, bytes and headers for the range that is asked for, if it still is of the same file."""
        asked, condition = self.headers.get("Range"), self.headers.get("If-Range")
        if not asked or (condition and condition != self.site.etag):
            return 200, data, {}
        self.site.ranges.append(asked)
        first = int(asked.removeprefix("bytes=").rstrip("-"))
        if first >= len(data):
            return 416, b"", {}
        said = f"bytes {first + shift}-{len(data) - 1}/{len(data)}"
        return 206, data[first:], {"Content_Range": said}

    def give(self, data: bytes, shift: int = 0) -> None:
        status, part, headers = self.part(data, shift)
        self.head(status, len(part), **headers)
        self.body(part)

    def break_off(self, data: bytes) -> None:
        """Promise all, send a third, and hang up."""
        status, part, headers = self.part(data)
        self.head(status, len(part), **headers)
        self.body(part[: len(part) // 3])
        self.close_connection = True

    def hang_up(self, data: bytes) -> None:
        self.close_connection = True

    def whole(self, data: bytes) -> None:
        """Know no ranges."""
        self.head(200, len(data))
        self.body(data)

    def other_part(self, data: bytes) -> None:
        self.give(data, shift=1)

    def web_page(self, data: bytes) -> None:
        page = b"<html>please sign our agreement</html>"
        self.head(200, len(page), Content_Type="text/html; charset=utf-8")
        self.body(page)

    def garbled(self, data: bytes) -> None:
        """Send as many bytes, but others."""
        self.head(200, len(data))
        self.body(bytes(byte ^ 1 for byte in data))

    def unsized(self, data: bytes) -> None:
        """Send chunks, and no length beforehand."""
        self.head(200, None, Transfer_Encoding="chunked")
        self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data))

    def unsized_half(self, data: bytes) -> None:
        self.head(200, None, Transfer_Encoding="chunked")
        self.wfile.write(b"%x\r\n%s" % (len(data), data[: len(data) // 2]))
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Be quiet."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error here."""


@contextmanager
def serving() -> Iterator[Site]:
    handler: Callable[..., Any] = type("Handler", (_Handler,), {})
    server = _Server(("127.0.0.1", 0), handler)
    site = handler.site = Site(f"http://127.0.0.1:{server.server_port}")  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
