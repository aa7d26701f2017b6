"""Get photographs of NUS-WIDE from Flickr by the publisher's list of URLs. Many are gone: they are listed, not fatal.

A line of NUS-WIDE-urls.txt, after one of headings: `C:\\ImageData\\Flickr\\actor\\0001_2124494179.jpg 2124494179`, then
the URLs of the large, middle, small and original picture, `null` for those that there were not.
"""

import csv
import re
from collections.abc import Collection, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

from aaam_pipeline.core.artifacts import write_bytes
from aaam_pipeline.core.csv_cells import to_cells
from aaam_pipeline.core.errors import DatasetError
from aaam_pipeline.core.http import PermanentError, TransientError, request, with_retries
from aaam_pipeline.core.progress import Reporter

COLUMNS = 6
# the middle size first, which most have and is large enough
ORDER = (3, 2, 4, 5)
WORKERS = 16
LARGEST = 50 * 10**6
# after so many in a row, the network is at fault and not the photographs
HOPELESS = 100
JPEG = b"\xff\xd8"
IMAGE = re.compile(r"(?:.*[\\/])?([^\\/.][^\\/]*)[\\/](\d+_\d+)\.jpg", re.IGNORECASE)


class FlickrPhoto(NamedTuple):
    """An image's id, and where it may be, the best address first."""

    image_id: str
    urls: tuple[str, ...]


class FetchOutcome(NamedTuple):
    """Whether a photograph was fetched: `reason` says why not, or is empty; `transient`: a later run may get it."""

    image_id: str
    reason: str
    transient: bool = False


def image_id(listed: str) -> str | None:
    """Return `actor/0001_2124494179` for an image as lists name it, or None if it is not one."""
    found = IMAGE.fullmatch(listed)
    return f"{found[1]}/{found[2]}" if found else None


def read_urls(path: Path) -> Iterator[FlickrPhoto]:
    """Yield the photographs of the publisher's list.

    Raises:
        DatasetError: a line has not its six columns.
    """
    with path.open(encoding="utf8", errors="replace") as stream:
        for number, line in enumerate(stream, start=1):
            cells = line.split()
            if not cells or cells[0].startswith("%"):
                continue
            id = image_id(cells[0])
            if len(cells) != COLUMNS or id is None:
                raise DatasetError(f"{path}, line {number}: not a path, a number and four URLs: {line.strip()[:80]!r}")
            yield FlickrPhoto(id, tuple(cells[column] for column in ORDER if cells[column] != "null"))


def fetch(urls: Path, wanted: Collection[str], into: Path, report: Reporter) -> None:
    """Fetch the `wanted` photographs that are neither in the folder `into` nor known to be gone.

    Those that are gone are listed in `gone.csv` beside the folder; the next run tries again what failed otherwise.

    Raises:
        DatasetError: the list is damaged, or nothing can be fetched at all.
    """
    gone = into.parent / "gone.csv"
    if not gone.exists():
        into.mkdir(parents=True, exist_ok=True)
        write_bytes(gone, b"image_id,reason\r\n")
    with gone.open(newline="", encoding="utf8") as stream:
        known = {row["image_id"] for row in csv.DictReader(stream)}
    photos = [photo for photo in read_urls(urls) if photo.image_id in wanted]
    absent = [photo for photo in photos if not _path(into, photo.image_id).exists()]
    left = [photo for photo in absent if photo.image_id not in known]
    came, in_a_row = len(photos) - len(absent), 0
    with (
        gone.open("a", newline="", encoding="utf8") as stream,
        report.task("photographs", len(photos), len(photos) - len(left)) as advance,
        # an error must not leave connections at work behind it
        closing(_fetch_all(left, into)) as outcomes,
    ):
        rows = csv.writer(stream)
        for outcome in outcomes:
            advance(1, failed=bool(outcome.reason))
            came += not outcome.reason
            in_a_row = in_a_row + 1 if outcome.transient else 0
            if outcome.reason and not outcome.transient:
                rows.writerow(to_cells([outcome.image_id, outcome.reason]))
                stream.flush()
            if in_a_row == HOPELESS:
                raise DatasetError(
                    f"{HOPELESS} photographs in a row could not be fetched ({outcome.reason}); the same command resumes"
                )
    report.info(f"nuswide: {came:,} of {len(wanted):,} photographs are there; those that are gone are in {gone}")


def _path(into: Path, image_id: str) -> Path:
    return into / f"{image_id}.jpg"


def _fetch_all(photos: list[FlickrPhoto], into: Path) -> Generator[FetchOutcome]:
    """Get photographs by many connections at a time, in order, some hundreds ahead."""
    with ThreadPoolExecutor(WORKERS) as pool:
        for start in range(0, len(photos), 32 * WORKERS):
            yield from pool.map(partial(_fetch_photo, into), photos[start : start + 32 * WORKERS])


def _fetch_photo(into: Path, photo: FlickrPhoto) -> FetchOutcome:
    reason = ""
    for url in photo.urls:
        try:
            content = with_retries(partial(_download, url))
        except TransientError as error:
            return FetchOutcome(photo.image_id, str(error), transient=True)
        except PermanentError as error:
            reason = reason or str(error)
            continue
        write_bytes(_path(into, photo.image_id), content)
        return FetchOutcome(photo.image_id, "")
    return FetchOutcome(photo.image_id, reason or "the list has no URL")


def _download(url: str) -> bytes:
    with request(url) as response:
        # Flickr answers for a photograph that was removed with a picture that says so
        if "photo_unavailable" in (response.url or ""):
            raise PermanentError("no longer on Flickr")
        content = response.read(LARGEST + 1)
        if not content.startswith(JPEG) or len(content) > LARGEST:
            raise PermanentError("no JPEG")
        return content
