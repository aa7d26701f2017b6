"""Annotations flipped or cut off anywhere: `verify` finds it, and `annotate` never goes on as if nothing were wrong."""

import shutil
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import pytest
from conftest import make_photo
from damage import flipped, truncated

from aaam_pipeline.annotate import inputs, runner
from aaam_pipeline.annotate.options import Options
from aaam_pipeline.annotate.verify import verify
from aaam_pipeline.core.errors import AaamError, IntegrityError
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.formats import part_files
from aaam_pipeline.formats.parts import part_path, read_annotations_manifest, read_stats, stats_path

pytestmark = pytest.mark.slow

Damage = Callable[[Path, int], Iterator[int]]
FILES = ["part-00001.parquet", "_part-00001.json", "_manifest.json"]
OPTIONS = Options(backend="torch", num_workers=0, part_size=10)


@pytest.fixture
def copy(annotated: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(annotated, tmp_path / "annotations"))


def test_no_damage_at_200_places_is_read_as_if_it_were_right(copy: Path) -> None:
    part = part_path(copy, 1)
    readers: dict[Path, Callable[[], object]] = {
        part: lambda: part_files.read_part(part),
        stats_path(part): lambda: read_stats(part),
        copy / "_manifest.json": lambda: read_annotations_manifest(copy),
    }
    for path, read in readers.items():
        right = read()
        for place in chain(flipped(path), truncated(path)):
            try:
                found = read()
            except IntegrityError:
                continue
            # "1e-05" and "1E-05" are the same number
            assert found == right, f"{path.name}: byte {place}"
            assert path != part
        assert read() == right


@pytest.mark.parametrize("damage", [flipped, truncated])
@pytest.mark.parametrize("name", FILES)
def test_verify_finds_damage(name: str, damage: Damage, copy: Path) -> None:
    for _ in damage(copy / name, 10):
        with pytest.raises(IntegrityError):
            verify(copy, NullReporter())
    verify(copy, NullReporter())


@pytest.mark.parametrize("damage", [flipped, truncated])
@pytest.mark.parametrize("name", FILES)
def test_going_on_with_damaged_annotations_is_refused(
    name: str, damage: Damage, copy: Path, photos: Path, tiny_bundle: Path
) -> None:
    """Also where the rows would only be kept: a new hash must not make damage look whole."""
    for place in damage(copy / name, 10):
        with pytest.raises(IntegrityError):
            runner.annotate(inputs.find([photos]), tiny_bundle, copy, OPTIONS, NullReporter())
        assert not copy.with_name("annotations.partial").exists(), f"byte {place}"


def test_damaged_annotations_can_be_replaced(copy: Path, photos: Path, tiny_bundle: Path) -> None:
    (copy / "_manifest.json").write_text("{")
    overwrite = OPTIONS._replace(on_existing="overwrite")
    runner.annotate(inputs.find([photos]), tiny_bundle, copy, overwrite, NullReporter())
    assert verify(copy, NullReporter()).successes == 24


@pytest.fixture
def interrupted(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the work folder of a run that made all of its parts and was stopped before it published them."""
    for number in range(8):
        make_photo(tmp_path / "photos" / f"{number}.jpg", number)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("aaam_pipeline.annotate.staging.StagingDir.publish", stop)
        with pytest.raises(KeyboardInterrupt):
            go_on(tmp_path, tiny_bundle)
    return tmp_path / "out.partial"


def go_on(folder: Path, model: Path) -> None:
    runner.annotate(inputs.find([folder / "photos"]), model, folder / "out", OPTIONS, NullReporter())


@pytest.mark.parametrize("name", ["plan.json", "rows/_part-00000.json", "rows/part-00000.parquet"])
def test_a_damaged_interrupted_run_never_becomes_annotations_that_look_whole(
    name: str, interrupted: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    work = Path(shutil.copytree(interrupted, tmp_path / "kept"))
    for place in flipped(work / name, 8):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        shutil.rmtree(interrupted, ignore_errors=True)
        shutil.copytree(work, interrupted)
        try:
            go_on(tmp_path, tiny_bundle)
        except IntegrityError:
            continue
        part = part_path(tmp_path / "out", 0)
        if name == "rows/part-00000.parquet":
            # published as it lies there, and known to be damaged by whoever reads it
            with pytest.raises(IntegrityError, match="was changed"):
                part_files.read_part(part)
        else:
            assert verify(tmp_path / "out", NullReporter()).successes == 8, f"byte {place}"


def test_an_error_of_damage_is_one_line_that_names_the_file(copy: Path, photos: Path, tiny_bundle: Path) -> None:
    for name in FILES:
        for _ in flipped(copy / name, 3):
            with pytest.raises(AaamError, match=name.replace(".", r"\.")) as caught:
                runner.annotate(inputs.find([photos]), tiny_bundle, copy, OPTIONS, NullReporter())
            assert "\n" not in str(caught.value)
