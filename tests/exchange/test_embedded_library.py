"""Annotate, write keywords into photographs, annotate again: nothing is decoded, and nothing of ours is imported."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from conftest import Invoke, make_photo

from aaam_pipeline.annotate import mapper
from aaam_pipeline.annotate.reader import ReadImage

pytestmark = pytest.mark.slow


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images the model was given, batch after batch."""
    counts: list[int] = []
    real = mapper.Mapper.start

    def start(self: mapper.Mapper, images: Sequence[ReadImage]) -> Callable[[], pa.RecordBatch]:
        counts.append(len(images))
        return real(self, images)

    monkeypatch.setattr(mapper.Mapper, "start", start)
    return counts


def test_a_library_with_keywords_in_its_files(
    tmp_path: Path, tiny_bundle: Path, invoke: Invoke, decoded: list[int]
) -> None:
    for number in range(6):
        make_photo(tmp_path / "photos" / f"{number}.{['jpg', 'png'][number % 2]}", number)
    before = {path: path.read_bytes() for path in (tmp_path / "photos").iterdir()}

    def run(*words: object) -> str:
        result = invoke(*words)
        assert result.exit_code == 0, result.output
        return f"{result.stdout}{result.stderr}"

    def annotate() -> str:
        return run("annotate", "photos", "--model", tiny_bundle, "--top", 2, "--num-workers", 0)

    annotate()
    assert sum(decoded) == 6
    assert "6 changed" in run("keywords", "write", "--in-place")
    assert {path: path.read_bytes() for path in before} != before
    annotate()
    assert sum(decoded) == 6
    assert "nothing to do" in annotate()
    run("verify")
    run("index")
    assert "6 unchanged" in run("keywords", "write", "--in-place")
    assert "none with keywords" in run("import-keywords", "--write")
    assert "none with keywords" in run("import-keywords", "photos")
    run("keywords", "undo")
    assert {path: path.read_bytes() for path in before} == before
    annotate()
    assert sum(decoded) == 6
    assert "nothing to do" in annotate()
    # sidecars belong to the photographs
    (tmp_path / "photos" / "0.jpg.xmp").touch()
    assert "left out" not in annotate()
    (tmp_path / "photos" / "film.mp4").touch()
    assert "left out of the inputs: 1 name (1 not an image)" in annotate()
