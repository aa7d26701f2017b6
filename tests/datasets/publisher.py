"""A web server of this machine that gives files as a publisher's does; it breaks off, lies or refuses when told."""

from functools import partial

import local_server


class Site(local_server.Site):
    """Files and answers go by path without the first slash; `ranges` are those that were asked for."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.ranges: list[str] = []
        self.etag: str | None = '"one"'

    def address(self, path: str) -> str:
        return f"{self.url}/{path}"


class _Handler(local_server.Handler):
    @property
    def name(self) -> str:
        return self.path.lstrip("/")

    def head(self, status: int, length: int | None, **headers: str) -> None:
        if status in (301, 302):
            headers["Location"] = "/elsewhere/photo_unavailable.png"
        if status in (200, 206) and self.site.etag:
            headers["ETag"] = self.site.etag
        super().head(status, length, **headers)

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


serving = partial(local_server.serving, Site, _Handler)
