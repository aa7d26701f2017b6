"""Labels from the keywords that people gave photographs."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Said, make_photo
from noted_pictures import packet

from aaam_pipeline.core.errors import DatasetError
from aaam_pipeline.datasets.folder import FolderParams, read_folder
from aaam_pipeline.datasets.listing import Listing
from aaam_pipeline.formats import packets


def tag(path: Path, seed: int, *keywords: str, tree: tuple[str, ...] = (), ours: tuple[str, ...] = ()) -> None:
    make_photo(path, seed)
    content = path.read_bytes()
    fields = {"dc:subject": [*keywords, *ours], "lr:hierarchicalSubject": [*tree]}
    xmp = packet(fields, dict.fromkeys(ours, "dc:subject"))
    path.write_bytes(b"".join(packets.spliced(content, packets.replaced(content, xmp))))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """40 photographs, the half of them of dogs in two spellings, 12 in a tree, 5 of a rare word, 4 without any."""
    for number in range(40):
        words = [["dog", "Dog"][number % 20 > 15]] if number % 2 else ["cat"]
        rare = ["rare"] if number < 5 else []
        tree = (f"animals|{words[0]}",) if number < 12 else ()
        tag(tmp_path / "photos" / f"{number}.jpg", number, *words, *rare, tree=tree, ours=("we",))
    for number in range(40, 44):
        make_photo(tmp_path / "photos" / f"{number}.jpg", number)
    return tmp_path / "photos"


def listed(root: Path, report: Said | None = None, **settings: object) -> Listing:
    params = FolderParams(root=str(root), labels="keywords", **settings)  # type: ignore[arg-type]
    return read_folder("mine", params, report or Said())


def test_keywords_are_labels(root: Path) -> None:
    said = Said()
    found = listed(root, said, unlisted="no")
    assert found.labels == ("cat", "dog")
    examples = [each for split in found.splits.values() for each in split]
    assert len(examples) == 40
    assert {each.labels for each in examples} == {("dog",), ("cat",)}
    assert all(each.absent is None for each in examples)
    assert "left out: 1 keyword on fewer than 10 photographs: 'rare'" in said.lines


def test_a_missing_keyword_is_unknown(root: Path) -> None:
    with pytest.raises(DatasetError, match=r"no image is known to be without 'cat', 'dog'.*unlisted: no"):
        listed(root)


def test_sidecars_count(root: Path) -> None:
    for number in range(40, 44):
        (root / f"{number}.jpg.xmp").write_bytes(packet({"dc:subject": ["dog"]}))
    splits = listed(root, unlisted="no").splits
    held = [example.labels for each in splits.values() for example in each]
    assert np.sum([labels == ("dog",) for labels in held]) == 24


def test_what_cannot_be_read_is_named(root: Path) -> None:
    (root / "3.jpg.xmp").write_text("no XML, and a subject")
    said = Said()
    listed(root, said, unlisted="no")
    assert any("keywords of 1 photograph cannot be read: '3.jpg: 3.jpg.xmp is not" in line for line in said.lines)


def test_too_few_keywords_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    make_photo(folder / "a.jpg", 1)
    with pytest.raises(DatasetError, match="none of its 1 photograph has keywords"):
        listed(folder)
    tag(folder / "b.jpg", 2, "dog")
    with pytest.raises(DatasetError, match="no keyword is on 10 photographs or more; most have dog 1"):
        listed(folder)
