"""A web server of this machine: the skeleton of those that tests tell to give wrong answers."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar


class Site:
    """What is served: `files` by path, and `answers` to give first to a path (a status, or the name of a trick)."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.files: dict[str, bytes] = {}
        self.answers: dict[str, list[int | str]] = {}
        # what was asked, and the bytes of files that were sent
        self.requests: Counter[str] = Counter()
        self.headers: list[dict[str, str]] = []
        self.connections: set[Any] = set()
        self.sent = 0


class Handler(BaseHTTPRequestHandler):
    """Answers as the site says; a trick is a method that gets the file's bytes, and `give` is the honest one."""

    protocol_version = "HTTP/1.1"
    site: Any

    @property
    def name(self) -> str:
        """The path as the site's files are called."""
        return self.path

    def do_HEAD(self) -> None:
        data = self.site.files.get(self.name)
        self.head(404 if data is None else 200, len(data or b""))

    def do_GET(self) -> None:
        site, name = self.site, self.name
        site.requests[name] += 1
        site.headers.append({name.lower(): value for name, value in self.headers.items()})
        site.connections.add(self.client_address)
        answers = site.answers.get(name, [])
        answer = answers.pop(0) if answers else 200
        data = site.files.get(name)
        if isinstance(answer, int) and answer != 200:
            self.refuse(answer)
        elif data is None:
            self.refuse(404)
        else:
            getattr(self, "give" if answer == 200 else answer)(data)

    def refuse(self, status: int) -> None:
        self.head(status, 4)
        self.wfile.write(b"oops")

    def head(self, status: int, length: int | None, **headers: str) -> None:
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def body(self, data: bytes) -> None:
        self.site.sent += len(data)
        self.wfile.write(data)

    def hang_up(self, data: bytes) -> None:
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Be quiet."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error here."""


S = TypeVar("S", bound=Site)


@contextmanager
def serving(kind: type[S], handler: type[Handler]) -> Iterator[S]:
    # a class of its own for each server: several may run side by side
    bound = type("Bound", (handler,), {})
    server = _Server(("127.0.0.1", 0), bound)
    bound.site = kind(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield bound.site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
