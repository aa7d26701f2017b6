"""WebDataset: tar files, in which a photograph and its JSON follow each other under one number.

    photos-000000.tar      000000000.jpg, 000000000.json, 000000001.png, 000000001.json, ...
    train-000000.tar       where there are splits

https://github.com/webdataset/webdataset
"""

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from aaam_pipeline.exchange.exporters.rows import ExportRow
from aaam_pipeline.exchange.exporters.target import Add, ExportTarget, json_text, names_of_splits, record

WITHOUT_SPLITS = "photos"
# readers keep a whole tar in a cache
SHARD_BYTES = 2 << 30
JPEG = frozenset({".jpeg", ".jpe", ".jfif", ".pjpeg", ".pjp"})


class _SampleFile(NamedTuple):
    name: str
    content: bytes


class _Shards:
    """The tars of a split."""

    def __init__(self, folder: Path, beginning: str, size: int) -> None:
        self._folder, self._beginning, self._size = folder, beginning, size
        self._number = self._count = self._bytes = 0
        self._tar: tarfile.TarFile | None = None

    def add(self, members: list[_SampleFile]) -> None:
        if self._tar and (self._count >= self._size or self._bytes >= SHARD_BYTES):
            self.close()
        if self._tar is None:
            path = self._folder / f"{self._beginning}-{self._number:06d}.tar"
            self._number += 1
            self._tar = tarfile.open(path, "w")  # noqa: SIM115 closed by `close`
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            self._tar.addfile(info, io.BytesIO(content))
            self._bytes += info.size
        self._count += 1

    def close(self) -> None:
        if self._tar:
            self._tar.close()
        self._tar, self._count, self._bytes = None, 0, 0


@contextmanager
def webdataset(target: ExportTarget) -> Iterator[Add]:
    """Write a folder of tars."""
    shards = {
        split: _Shards(target.path, split or WITHOUT_SPLITS, target.shard_size) for split in names_of_splits(target)
    }
    count = 0

    def add(row: ExportRow) -> bool:
        nonlocal count
        if (content := target.pictures.content(row)) is None:
            return False
        suffix = PurePosixPath(row.path).suffix.lower() or ".jpg"
        # what begins at the first dot is the kind of a member
        key = f"{count:09d}"
        picture = _SampleFile(f"{key}{'.jpg' if suffix in JPEG else suffix}", content)
        text = json_text({"__key__": key, **record(row, target)})
        shards[row.split if target.splits else ""].add([picture, _SampleFile(f"{key}.json", text)])
        count += 1
        return True

    try:
        yield add
    except BaseException:
        # of a full disk, the first error is to be seen
        for each in shards.values():
            with suppress(OSError):
                each.close()
        raise
    for each in shards.values():
        each.close()
