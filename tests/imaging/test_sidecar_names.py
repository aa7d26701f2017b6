import pytest

from aaam_pipeline.imaging.sidecar_names import FolderNames


@pytest.mark.parametrize(
    ("names", "photograph", "expected"),
    [
        ("a.jpg", "a.jpg", ""),
        ("a.jpg a.jpg.xmp a.xmp", "a.jpg", "a.jpg.xmp a.xmp"),
        ("a.jpg A.JPG.XMP", "a.jpg", "A.JPG.XMP"),
        ("a.jpg b.xmp", "a.jpg", ""),
        # the raw file's
        ("a.jpg a.nef a.xmp", "a.jpg", ""),
        ("a.jpg a.nef a.xmp", "a.nef", "a.xmp"),
        # nobody knows whose
        ("a.jpg a.png a.xmp", "a.png", ""),
        ("a.jpg a.mp4 a.xmp", "a.jpg", "a.xmp"),
        # the whole name of another one
        ("a.jpg a.jpg.png a.jpg.xmp", "a.jpg.png", ""),
        ("a.jpg a.jpg.png a.jpg.xmp", "a.jpg", "a.jpg.xmp"),
        # two of one name but for case
        ("a.jpg A.jpg A.jpg.xmp", "a.jpg", ""),
    ],
)
def test_whose_sidecar_it_is(names: str, photograph: str, expected: str) -> None:
    assert FolderNames(frozenset(names.split())).beside(photograph) == expected.split()
