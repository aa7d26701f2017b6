"""A web server of this machine that gives pictures, and answers what a test tells it to, also wrongly."""

import time
from functools import partial

import local_server

MODIFIED = "Tue, 14 Nov 2023 22:13:20 GMT"
MODIFIED_MICROSECONDS = 1_700_000_000_000_000


class Site(local_server.Site):
    """Files and answers go by path with query, as in `/a.jpg?x=1`; `ranges`: whether parts of files are given."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.ranges = True


class _Handler(local_server.Handler):
    def head(self, status: int, length: int | None, **headers: str) -> None:
        if status == 429:
            headers["Retry_After"] = "1"
        if status == 302:
            headers["Location"] = "/moved.jpg"
        super().head(status, length, **headers)

    def give(self, data: bytes) -> None:
        status, part, headers = 200, data, {"Last_Modified": MODIFIED}
        asked = self.headers.get("Range")
        if asked and self.site.ranges:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            status, part = 206, data[int(first) : int(last) + 1 if last else None]
            headers["Content_Range"] = f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}"
        self.head(status, len(part), **headers)
        self.body(part)

    def short(self, data: bytes) -> None:
        """Promise the whole file, send the half of it."""
        self.head(200, len(data))
        self.wfile.write(data[: len(data) // 2])
        self.close_connection = True

    def half_chunked(self, data: bytes) -> None:
        self.head(200, None, Transfer_Encoding="chunked")
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.close_connection = True

    def silent(self, data: bytes) -> None:
        time.sleep(1)
        self.close_connection = True

    def drip(self, data: bytes) -> None:
        """Send a byte now and then, for a second."""
        self.head(200, len(data))
        try:
            for byte in data[:20]:
                self.wfile.write(bytes([byte]))
                time.sleep(0.05)
        except OSError:
            pass
        self.close_connection = True


serving = partial(local_server.serving, Site, _Handler)
