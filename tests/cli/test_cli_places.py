"""Outputs whose names look like URLs: URLs are refused, folders with such names are written and read."""

from pathlib import Path

import pytest
from cli.failures import failed
from conftest import Invoke, make_photo


@pytest.mark.parametrize(
    "words",
    [
        ("annotate", "photos", "--out", "s3://bucket/x"),
        ("annotate", "photos", "--out=s3://bucket/x"),
        ("index", "annotations", "--out", "gs://bucket/x"),
        ("search", "grass", "--copy-to", "s3://bucket/x"),
        ("search", "grass", "--index", "https://example.org/index"),
    ],
)
def test_an_output_that_is_a_url_is_refused(words: tuple[str, ...], tmp_path: Path, invoke: Invoke) -> None:
    make_photo(tmp_path / "photos" / "0.jpg", 0)
    done = invoke(*words)
    assert done.exit_code == 2
    assert "outputs are local folders" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


@pytest.mark.parametrize("source", ["environment", "aaam.toml"])
def test_a_url_from_the_surroundings_is_refused_too(
    source: str, tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    if source == "environment":
        monkeypatch.setenv("AAAM_INDEX", "s3://bucket/index")
        name = "AAAM_INDEX s3://bucket/index"
    else:
        (tmp_path / "aaam.toml").write_text('[search]\nindex = "s3://bucket/index"')
        name = "[search] index = 's3://bucket/index'"
    done = invoke("search", "grass")
    assert done.exit_code == 2
    assert name in done.stderr
    assert "outputs are local folders" in done.stderr
    # a flag wins over a variable
    if source == "environment":
        assert "is not an index" in invoke("search", "grass", "--index", "here").stderr


def test_folders_may_have_names_that_look_like_urls(tiny_bundle: Path, tmp_path: Path, invoke: Invoke) -> None:
    make_photo(tmp_path / "photos" / "0.jpg", 0)
    words = ("photos", "--model", tiny_bundle, "--backend", "torch", "--num-workers", 0)
    for photo in (0, 1):
        make_photo(tmp_path / "photos" / f"{photo}.jpg", photo)
        made = invoke("annotate", *words, "--out", "s3:y")
        assert made.exit_code == 0, made.stderr
        assert invoke("verify", "s3:y").exit_code == 0
        assert invoke("index", "s3:y", "--out", "s3:x").exit_code == 0
    assert len(invoke("similar", "photos/0.jpg", "--index", "s3:x", "--paths").stdout.splitlines()) == 1
    # what was typed is right there: the picture is at fault
    content = (tmp_path / "photos" / "0.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(content[: len(content) // 2])
    failed(invoke("similar", "half.jpg", "--index", "s3:x", "-q"), 1, "half.jpg", "cut off")
