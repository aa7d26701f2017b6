"""Dates of photographs, from the camera's notes to the hits of `after:`, through every way that images come in."""

import io
import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import Invoke
from models.pictures import encoded, noted, photo
from PIL.ExifTags import Base
from runs import PARTS, annotate, by_name, check
from web_server import Site, serving

from aaam_pipeline.annotate import inputs
from aaam_pipeline.core import http

TOKYO = {Base.DateTimeOriginal: "2024:05:01 00:30:00", Base.OffsetTimeOriginal: "+09:00"}
MIDNIGHT = datetime(2024, 5, 1, 0, 30)
FILES = {
    "tokyo.jpg": encoded(photo(), "JPEG", exif=noted(TOKYO)),
    "scan.png": encoded(photo(), "PNG", exif=noted({Base.DateTimeDigitized: "1998:07:14 10:00:00"})),
    "none.jpg": encoded(photo(), "JPEG"),
    "unset.jpg": encoded(photo(), "JPEG", exif=noted({Base.DateTimeOriginal: "0000:00:00 00:00:00"})),
    "cut.jpg": encoded(photo(400, 300), "JPEG", exif=noted(TOKYO))[:20_000],
}
DATES = {
    "tokyo.jpg": ("ok", MIDNIGHT, 540),
    "scan.png": ("ok", datetime(1998, 7, 14, 10), None),
    "none.jpg": ("ok", None, None),
    "unset.jpg": ("ok", None, None),
    "cut.jpg": ("failed", None, None),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photographs with a date, without, and one that is cut off; files of the first hour of 2020 in UTC."""
    (tmp_path / "photos").mkdir()
    for name, content in FILES.items():
        (tmp_path / "photos" / name).write_bytes(content)
        os.utime(tmp_path / "photos" / name, (1_577_836_800, 1_577_836_800))
    return tmp_path / "photos"


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr("aaam_pipeline.core.http.BACKOFF", 0.001)
    with serving() as served:
        served.files |= {f"/{name}": content for name, content in FILES.items()}
        yield served
    http._pool.cache_clear()


def dates(out: Path) -> dict[str, Any]:
    check(out)
    rows = by_name(out).to_pylist()
    return {row["path"].split("/")[-1]: (row["status"], row["captured_at"], row["captured_at_offset"]) for row in rows}


@pytest.mark.parametrize("workers", [0, 2])
def test_rows_hold_the_time_by_the_camera_s_clock(
    workers: int, folder: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    annotate(folder, tiny_bundle, tmp_path / "out", PARTS._replace(num_workers=workers))
    assert dates(tmp_path / "out") == DATES


def test_shards_and_urls_bring_it_too(tiny_bundle: Path, tmp_path: Path, site: Site) -> None:
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        for name, content in FILES.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    options = PARTS._replace(num_workers=1)
    for name, given in (("shard", [tmp_path / "s.tar"]), ("web", [f"{site.url}/{file}" for file in FILES])):
        annotate(inputs.find(given), tiny_bundle, tmp_path / name, options)
        assert dates(tmp_path / name) == DATES


def test_an_update_keeps_it_and_a_new_date_in_a_file_is_read(folder: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    annotate(folder, tiny_bundle, tmp_path / "out")
    os.utime(folder / "tokyo.jpg", (5, 5))
    changed = noted({Base.DateTimeOriginal: "2011:11:11 11:11:11"})
    (folder / "none.jpg").write_bytes(encoded(photo(), "JPEG", exif=changed))
    annotate(folder, tiny_bundle, tmp_path / "out")
    assert dates(tmp_path / "out") == DATES | {"none.jpg": ("ok", datetime(2011, 11, 11, 11, 11, 11), None)}


@pytest.fixture
def search(folder: Path, tiny_bundle: Path, tmp_path: Path, invoke: Invoke) -> Any:
    """Annotate and index `folder` by command line; return how to search there."""
    shutil.copytree(tiny_bundle, tmp_path / "model")
    done = invoke("annotate", folder, "--model", "model", "--max-failure-rate", 1, "--backend", "torch")
    assert done.exit_code == 0, done.output
    assert invoke("index", "annotations").exit_code == 0

    def found(query: str) -> set[str]:
        result = invoke("search", query, "--json", "--quiet")
        assert result.exit_code == 0, result.output
        return {json.loads(line)["path"] for line in result.stdout.splitlines()}

    return found


def test_a_search_by_date_takes_the_camera_s_and_else_the_file_s(search: Any) -> None:
    assert datetime.fromtimestamp(1_577_836_800, UTC) == datetime(2020, 1, 1, tzinfo=UTC)
    # in UTC it was still April
    assert search("after:2024-05-01") == {"tokyo.jpg"}
    assert search("after:2024-05-02") == set()
    assert search("after:2024-05-01 before:2024-05-02") == {"tokyo.jpg"}
    assert search("before:2020") == {"scan.png"}
    assert search("after:2020 before:2021") == {"none.jpg", "unset.jpg"}
    assert search("-after:2020") == {"scan.png"}
    assert search("after:1998-07-14") == {"tokyo.jpg", "scan.png", "none.jpg", "unset.jpg"}
    assert search("after:1998-07-15") == {"tokyo.jpg", "none.jpg", "unset.jpg"}
