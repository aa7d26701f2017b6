import shutil
from pathlib import Path

import msgspec
import pytest

import aaam_pipeline.search as search
from aaam_pipeline.core.artifacts import publish
from aaam_pipeline.core.errors import IntegrityError
from aaam_pipeline.index import manifest as manifests


@pytest.fixture
def two_builds(indexed: Path, tmp_path: Path) -> tuple[Path, Path]:
    """An index, and another build that is about to replace it."""
    old, new = tmp_path / "index", tmp_path / "index.partial"
    shutil.copytree(indexed, old)
    shutil.copytree(indexed, new)
    manifests.write(new, msgspec.structs.replace(manifests.read(new), model_id="new"))
    return old, new


def test_an_index_replaced_while_it_is_opened_is_opened_again(
    two_builds: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = two_builds
    read = manifests.read

    def read_and_replace(folder: Path) -> manifests.IndexManifest:
        manifest = read(folder)
        if new.exists():
            publish(new, old)
        return manifest

    monkeypatch.setattr(manifests, "read", read_and_replace)
    with search.open(old) as index:
        assert index.manifest.model_id == "new"
        assert index.query("grass")


def test_a_damaged_index_that_is_not_being_replaced_is_not_tried_for_ever(two_builds: tuple[Path, Path]) -> None:
    (two_builds[0] / manifests.SCORES).write_bytes(b"")
    with pytest.raises(IntegrityError):
        search.open(two_builds[0])
