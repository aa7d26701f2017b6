"""`aaam-pipe train`: which table of labels is read."""

from pathlib import Path

from conftest import Invoke, make_photo


def test_a_table_here_is_taken_before_the_one_beside_the_photographs(tmp_path: Path, invoke: Invoke) -> None:
    make_photo(tmp_path / "photos" / "1.jpg", 1)
    (tmp_path / "photos" / "labels.csv").write_text("image,label\n1.jpg,dog\n")
    (tmp_path / "labels.csv").write_text("image,label\nx.jpg,dog\n")
    begin = ("--from", "none", "--backbone", "vgg_small", "--size", "32", "--device", "cpu")
    done = invoke("train", "photos", "--labels", "labels.csv", *begin)
    assert "labels: labels.csv, not photos/labels.csv\n" in done.stderr
    assert "none of its 1 image is in photos" in done.stderr.splitlines()[-1]
