"""What DuckDB's errors are called; its texts are those of versions 1.4 and 2.0."""

import re
import tomllib
from pathlib import Path

import duckdb
import pytest

from aaam_pipeline.core.errors import AaamError, IntegrityError, VersionError
from aaam_pipeline.formats import database

IO, MEMORY = duckdb.IOException, duckdb.OutOfMemoryException
NEWER = (
    "IO Error: Trying to read a database file with version number 999, but we can only read versions between 64 and "
    "67.\nThe database file was created with an newer version of DuckDB.\n"
)
MEANINGS = [
    (IO(NEWER), VersionError, "made by a newer DuckDB than"),
    (
        IO('IO Error: Could not set lock on file "/a/x": Conflicting lock is held in /usr/bin/duckdb (PID 5162). See'),
        AaamError,
        "open in another program .process 5162.; close it",
    ),
    (IO('IO Error: Could not write file "/a/x": No space left on device'), AaamError, "disk is full"),
    (IO('IO Error: Could not write file "/a/x": Disk quota exceeded'), AaamError, "limit is reached"),
    (MEMORY("Out of Memory Error: could not allocate block of size 256.0 KiB"), AaamError, "not enough memory"),
    (IO('IO Error: Cannot open file "/a/x": Permission denied'), AaamError, "no permission"),
    (duckdb.ConnectionException("Connection Error: connection is busy"), AaamError, "cannot be read"),
    (IO('IO Error: The file "/a/x" exists, but it is not a valid DuckDB database file!'), IntegrityError, "damaged"),
    (IO('IO Error: Could not read enough bytes from file "/a/x": attempted to read'), IntegrityError, "damaged"),
    (duckdb.Error("Corrupt database file: computed checksum 1 does not match 2"), IntegrityError, "damaged"),
    (duckdb.CatalogException("Catalog Error: Table with name scores does not exist!"), IntegrityError, "damaged"),
]


@pytest.mark.parametrize(("error", "kind", "said"), MEANINGS)
def test_an_error_is_called_what_it_is(error: duckdb.Error, kind: type[AaamError], said: str) -> None:
    explained = database.explained(error, Path("/a/x"), "build it again")
    assert type(explained) is kind
    assert re.search(said, str(explained))
    assert "\n" not in str(explained)
    assert ("damaged" in str(explained)) == (kind is IntegrityError)


def test_the_hash_decides_where_the_text_does_not_tell() -> None:
    for text in (NEWER, "Serialization Error: unknown"):
        explained = database.explained(IO(text), Path("x"), "build it again", lambda: True)
        assert isinstance(explained, IntegrityError)
    # what is busy or forbidden is not read
    busy = IO("IO Error: Could not set lock on file")
    assert type(database.explained(busy, Path("x"), "", lambda: 1 // 0 > 0)) is AaamError


def test_files_are_written_for_the_oldest_duckdb_that_is_allowed(tmp_path: Path) -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    (oldest,) = (each.removeprefix("duckdb>=") for each in project["dependencies"] if each.startswith("duckdb"))
    assert database.STORAGE_VERSION.removeprefix("v").startswith(oldest)
    with duckdb.connect(":memory:") as opened:
        database.attach(opened, tmp_path / "file", "here")
        opened.execute("CREATE TABLE here.numbers AS SELECT range AS number FROM range(1000)")
    # 67 is the last version of files that DuckDB 1.4 reads
    assert int.from_bytes((tmp_path / "file").read_bytes()[12:20], "little") <= 67


@pytest.mark.parametrize("name", ["s3:x", "sqlite:x", "md:x", ":memory:", "~x", "duckdb:x", "http:x", "it's", "x*"])
def test_names_that_mean_something_to_duckdb_are_names(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (Path(name), Path(name) / "scores.duckdb"):
        path.parent.mkdir(exist_ok=True)
        with duckdb.connect(":memory:") as opened:
            database.attach(opened, path, "here")
            opened.execute("CREATE TABLE here.numbers AS SELECT 7 AS number")
        with duckdb.connect(":memory:") as opened:
            database.attach(opened, path, "here", read_only=True)
            assert opened.execute("SELECT number FROM here.numbers").fetchall() == [(7,)]
        assert path.is_file()
        path.unlink()
