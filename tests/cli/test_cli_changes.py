"""A library that changes between two runs of `annotate`, seen from the command line."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from cli.failures import failed
from conftest import Invoke, make_photo

pytestmark = pytest.mark.slow


@pytest.fixture
def library(tmp_path: Path, tiny_bundle: Path, invoke: Invoke) -> Path:
    """An annotated and indexed folder of 8 photographs, and a file that is none."""
    for number in range(8):
        make_photo(tmp_path / "library" / "ab"[number % 2] / f"{number}.jpg", number)
    (tmp_path / "library" / "bad.jpg").write_text("no image")
    result = invoke("annotate", "library", "--model", tiny_bundle, "--max-failure-rate", 1)
    assert "--retry-failed tries them again" in result.stderr
    assert invoke("index", "annotations").exit_code == 0
    return tmp_path / "library"


def again(invoke: Invoke, model: Path, *words: object) -> tuple[int, str, str]:
    result = invoke("annotate", *words, "--model", model, "--max-failure-rate", 1)
    return result.exit_code, result.stdout, result.stderr


def test_a_part_of_the_library_drops_no_row(library: Path, tiny_bundle: Path, invoke: Invoke) -> None:
    for words in (["library/a"], ["library/a/0.jpg"], ["library", "--exclude", "b"], ["library", "--limit", 2]):
        code, _, said = again(invoke, tiny_bundle, *words)
        assert code == 0
        assert "not among the inputs" in said
    code, said, _ = again(invoke, tiny_bundle, "library", "--forget", "--dry-run")
    # whichever way a file was found, it has one row
    assert (code, said) == (0, "nothing to do\n")


def test_a_folder_that_is_not_mounted_is_exit_3(library: Path, tiny_bundle: Path, invoke: Invoke) -> None:
    (library / "b").rename(library.parent / "b")
    (library / "b").mkdir()
    code, said, error = again(invoke, tiny_bundle, "library", "--dry-run")
    assert (code, said) == (3, "5 kept, 4 not found\n")
    assert error.startswith("error: 4 rows stay whose pictures are not found")
    assert again(invoke, tiny_bundle, "library", "--quiet") == (3, "", error)
    code, _, said = again(invoke, tiny_bundle, "library")
    # what there is, how to go on, and at the end why the exit code is 3
    assert "annotations: 8 of 9 images annotated, 1 failed" in said
    assert said.splitlines()[-1] == error.strip()
    assert again(invoke, tiny_bundle, "library", "--forget")[0] == 0
    assert "5 inputs = 4 ok + 1 failed" in invoke("verify").stdout


def test_a_moved_library_is_renamed_in_annotations_and_index(library: Path, tiny_bundle: Path, invoke: Invoke) -> None:
    assert "2.jpg" in invoke("search", "grass", "--paths").stdout
    moved = library.rename(library.with_name("moved"))
    assert invoke("search", "grass", "--paths").stdout == ""
    result = invoke("index", "--root", f"{library}={moved}")
    assert result.exit_code == 0
    hits = [Path(line) for line in invoke("search", "grass", "--paths").stdout.splitlines()]
    assert len(hits) == 8
    assert all(hit.is_file() for hit in hits)
    code, _, said = again(invoke, tiny_bundle, "moved", "--root", "library=moved")
    assert code == 0
    assert "9 images: 9 kept" in said
    assert invoke("index").exit_code == 0
    assert sorted(hits) == sorted(Path(line) for line in invoke("search", "grass", "--paths").stdout.splitlines())


@pytest.mark.parametrize("words", [["annotate", "library"], ["index"]])
def test_a_root_without_a_new_name_is_a_usage_error(
    words: list[str], library: Path, tiny_bundle: Path, invoke: Invoke
) -> None:
    model = ["--model", tiny_bundle] if words[0] == "annotate" else []
    failed(invoke(*words, *model, "--root", "library"), 2, "--root library: write OLD=NEW")


@pytest.mark.parametrize(
    "words",
    [["annotate", ""], ["annotate", ".", "--out", ""], ["annotate", ".", "--out="], ["index", ""], ["verify", ""]],
)
def test_an_empty_name_is_not_the_current_folder(words: list[str], invoke: Invoke) -> None:
    result = invoke(*words)
    assert result.exit_code == 2
    assert "empty" in result.stderr


def test_an_empty_name_in_a_file_with_settings(tmp_path: Path, invoke: Invoke) -> None:
    (tmp_path / "aaam.toml").write_text('[annotate]\nout = ""\n')
    failed(invoke("annotate", "."), 2, "[annotate] out is empty")


def test_damaged_annotations_come_with_advice(library: Path, tiny_bundle: Path, invoke: Invoke) -> None:
    part = library.parent / "annotations" / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:-10])
    result = invoke("annotate", "library", "--model", tiny_bundle)
    failed(result, 4, "aaam-pipe verify annotations")
    assert "--on-existing overwrite" in result.stderr


def test_an_input_that_is_gone_stops_nothing_where_it_has_rows(
    library: Path, tiny_bundle: Path, invoke: Invoke
) -> None:
    before = sum(pq.read_metadata(part).num_rows for part in Path("annotations").glob("*.parquet"))
    (library / "b").rename(library.parent / "elsewhere")
    make_photo(library / "a" / "new.jpg", 99)
    code, _, said = again(invoke, tiny_bundle, "library/b/1.jpg", "library/a/0.jpg")
    assert (code, "inputs that cannot be read: 1" in said) == (3, True)
    code, _, said = again(invoke, tiny_bundle, "library/a", "library/b")
    assert (code, "1 new" in said) == (3, True)
    assert "looked for in" in said
    assert str(library / "b") in said
    assert sum(pq.read_metadata(part).num_rows for part in Path("annotations").glob("*.parquet")) == before + 1
    # a name that nothing is known of is a mistyped one
    code, _, said = again(invoke, tiny_bundle, "library/a", "library/c")
    assert (code, "no file or folder library/c" in said) == (2, True)


def test_forget_without_any_input_names_the_way_out(library: Path, tiny_bundle: Path, invoke: Invoke) -> None:
    for photo in library.rglob("*.*"):
        photo.unlink()
    code, _, said = again(invoke, tiny_bundle, "library", "--forget")
    assert (code, "to drop them all, delete annotations" in said) == (3, True)


def test_a_dry_run_and_a_run_say_how_many_rows_get_another_name(
    library: Path, tiny_bundle: Path, invoke: Invoke
) -> None:
    library.rename(library.parent / "moved")
    words = ("moved", "--root", "library=moved")
    assert again(invoke, tiny_bundle, *words, "--dry-run") == (0, "9 kept, 9 renamed\n", "")
    code, _, said = again(invoke, tiny_bundle, *words)
    assert (code, "9 kept, 9 renamed" in said) == (0, True)
    code, said, error = again(invoke, tiny_bundle, *words, "--root", "no=moved", "--dry-run")
    assert (code, said) == (0, "nothing to do\n")
    assert f"no row lies below {library.parent / 'no'}" in error
    failed(invoke("annotate", "moved", "--root", "library=nowhere", "--model", tiny_bundle), 2, "no folder", "nowhere")
    result = invoke("index", "annotations", "--root", "no=other")
    assert f"no row lies below {library.parent / 'no'}" in result.stderr
