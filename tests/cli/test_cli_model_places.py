"""Where models lie: nothing is written elsewhere, nothing is left over, and a name is found before a folder of it."""

import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from cli.failures import failed
from conftest import Invoke, make_bundle, make_photo, rewrite_json

from aaam_pipeline.core.locks import exclusive
from aaam_pipeline.models import adding, library, packed
from aaam_pipeline.models.info import read_info


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder for data, not there at first."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "aaam-pipe"


def outside(place: Path, home: Path) -> set[Path]:
    return {path for path in place.rglob("*") if path not in (home.parent, home) and home not in path.parents}


def forged(bundle: Path, file: Path, **values: object) -> Path:
    """Pack a bundle that says something else."""
    other = Path(shutil.copytree(bundle, file.with_suffix("")))
    rewrite_json(other / "bundle.json", **values)
    packed.pack(other, file)
    return file


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "a/b", "..", "", "x\\y", "v\u00f6gel"])
def test_the_name_in_a_file_leads_nowhere_else(
    name: str, invoke: Invoke, tiny_bundle: Path, tmp_path: Path, home: Path
) -> None:
    # a file of a name without a letter of a model's: the name in it is looked at
    file = forged(tiny_bundle, tmp_path / "\u9ce5.aaam", dataset=name)
    before = outside(tmp_path, home)
    failed(invoke("model", "add", file), 2, "is no name for a model: choose one with --name")
    assert outside(tmp_path, home) == before
    assert list((home / "models").iterdir()) == []
    assert invoke("model", "add", file, "--name", "good").exit_code == 0
    assert [path.name for path in (home / "models").iterdir()] == ["good"]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("birds.aaam", "birds"),
        ("../../a/.birds.v2.aaam", "birds.v2"),
        ("My birds (2).aaam", "My-birds-2"),
        ("V\u00f6gel.aaam", "Vogel"),
        ("..", ""),
        ("\u9ce5.aaam", ""),
        ("https://host/models/birds.aaam?key=a/b#c", "birds"),
        ("https://host/get/garden%2F..%2Fbirds%20two/", "birds-two"),
        ("https://host", ""),
        ("b" * 300 + ".aaam", "b" * 100),
    ],
)
def test_a_model_is_called_as_its_file(source: str, name: str) -> None:
    assert adding.name_of(source) == name
    assert not name or packed.NAME.fullmatch(name)


def test_the_commands_of_the_documentation_run_word_for_word(
    invoke: Invoke, formed_bundle: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aaam_pipeline.cli.model_facts.SECONDS", 0.05)
    monkeypatch.setattr(library, "STARTER_FOLDER", make_bundle(tmp_path / "package" / "starter", seed=5))
    shutil.copytree(formed_bundle, "models/mine")
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
    lines = page.split("```sh\n")[1].split("```")[0].splitlines()
    assert len(lines) == 7
    for line in lines:
        words = shlex.split(line.replace("~/Pictures", str(photos)), comments=True)
        done = invoke(*words[1:])
        assert done.exit_code == 0, (line, done.output)
    assert Path("birds/annotations/_manifest.json").is_file()


def test_what_a_killed_process_left_is_removed_and_what_another_one_works_in_is_not(
    invoke: Invoke, tiny_bundle: Path, tmp_path: Path, home: Path
) -> None:
    packed.pack(tiny_bundle, tmp_path / "toy.aaam")
    killed = "; ".join(
        (
            "import os, signal",
            "from aaam_pipeline.models import adding, packed",
            "adding.publish = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)",
            "adding.add('toy.aaam')",
        )
    )
    assert subprocess.run([sys.executable, "-c", killed], cwd=tmp_path, env=os.environ).returncode == -9
    models = home / "models"
    assert len(list(models.iterdir())) == 2  # the work folder and its lock
    with exclusive(models / ".busy.partial"):
        (models / ".busy.partial").mkdir()
        assert invoke("model", "add", "toy.aaam").exit_code == 0
        assert (models / ".busy.partial").is_dir()
    assert invoke("model", "add", "toy.aaam", "--name", "second").exit_code == 0
    assert sorted(path.name for path in models.iterdir()) == ["second", "toy"]


def test_messages_do_not_name_the_work_folder(
    invoke: Invoke, tiny_bundle: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed.pack(tiny_bundle, tmp_path / "toy.aaam")
    monkeypatch.setattr("shutil.disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))  # type: ignore[attr-defined]
    failed(invoke("model", "add", "toy.aaam"), 1, f"no room for toy.aaam in {home / 'models'}: 3 MB")


def test_a_digest_that_is_none_is_said_before_anything_is_fetched(invoke: Invoke, home: Path) -> None:
    failed(invoke("model", "add", "http://127.0.0.1:9/x.aaam", "--sha256", "00"), 2, "64 hexadecimal digits")
    assert not home.exists()


def test_a_place_that_cannot_be_written_is_one_line(
    invoke: Invoke, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*arguments: object, **options: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(zipfile, "ZipFile", read_only)
    monkeypatch.setattr(Path, "unlink", read_only)
    failed(invoke("model", "pack", tiny_bundle, "toy.aaam"), 2, "cannot write toy.aaam: Read-only file system")


def test_a_model_is_found_before_a_folder_of_its_name(invoke: Invoke, tiny_bundle: Path, tmp_path: Path) -> None:
    packed.pack(tiny_bundle, tmp_path / "toy.aaam")
    assert invoke("model", "add", "toy.aaam", "--name", "birds").exit_code == 0
    make_photo(tmp_path / "birds" / "1.jpg", 1)
    done = invoke("annotate", "birds", "--model", "birds")
    assert done.exit_code == 0, done.stderr
    shutil.copytree(make_bundle(tmp_path / "elsewhere", seed=4), "birds", dirs_exist_ok=True)
    assert library.find(Path("birds"), tmp_path) == Path("birds")


def test_what_is_no_model_is_said(invoke: Invoke, tiny_bundle: Path, tmp_path: Path) -> None:
    make_photo(tmp_path / "photos" / "1.jpg", 1)
    for named in ("models/nowhere/x", "/nowhere/x"):
        failed(invoke("annotate", "photos", "--model", named), 2, f"no model '{named}', neither a folder nor one of")
    failed(invoke("annotate", "photos", "--model", tiny_bundle / "bundle.json"), 2, "is a file: a model is a folder")
    failed(invoke("annotate", "photos", "--model", "photos"), 2, "photos is not a model bundle")


def test_a_model_of_the_web_is_added_first(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "https://host/birds.aaam"
    named = invoke("annotate", "photos", "--model", url)
    monkeypatch.setenv("AAAM_MODEL", url)
    for result in (named, invoke("annotate", "photos")):
        assert result.exit_code == 2
        assert f"{url}: this is a URL; `aaam-pipe model add` fetches a model" in result.stderr


def test_every_command_names_a_model_as_its_annotations_do(invoke: Invoke, int8_bundle: Path, tmp_path: Path) -> None:
    make_photo(tmp_path / "photos" / "1.jpg", 1)
    said = [
        invoke("model", "pack", int8_bundle, "toy.aaam", "--json").stdout,
        invoke("model", "add", "toy.aaam", "--name", "toy").stdout,
        invoke("model", "list").stdout,
        invoke("annotate", "photos", "--model", "toy").stderr,
    ]
    expected = read_info(int8_bundle).of_precision("int8").model_id
    assert "-int8-" in expected
    assert all(expected in each for each in said), said


def test_a_model_that_cannot_be_opened_hides_no_other(invoke: Invoke, tiny_bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_bundle, "models/good")
    # as unreadable as a file of someone else
    Path("models/odd/bundle.json").mkdir(parents=True)
    listed = invoke("model", "list")
    assert listed.exit_code == 0, listed.stderr
    assert "cannot be used: " in listed.stdout
    assert read_info(tiny_bundle).model_id in listed.stdout
    make_photo(tmp_path / "photos" / "1.jpg", 1)
    failed(invoke("annotate", "photos", "-q"), 1, "models/odd/bundle.json: Is a directory")
    assert invoke("annotate", "photos", "--model", "good", "-q").exit_code == 0
    make_photo(tmp_path / "photos" / "2.jpg", 2)
    assert invoke("annotate", "photos", "--model", "models/good").exit_code == 0


def test_what_an_earlier_starter_annotated_goes_on_with_it(
    invoke: Invoke, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "package"
    monkeypatch.setattr(library, "STARTER_FOLDER", make_bundle(package, seed=5))
    for number in range(3):
        make_photo(tmp_path / "photos" / f"{number}.jpg", number)
    assert invoke("annotate", "photos", "--limit", "1", "--dry-run").exit_code == 0
    assert not home.exists()
    assert invoke("annotate", "photos", "--limit", "1").exit_code == 0
    before = read_info(package).model_id
    # a new release has another one in its place
    shutil.rmtree(package)
    make_bundle(package, seed=6)
    done = invoke("annotate", "photos", "--limit", "2")
    assert done.exit_code == 0, done.stderr
    assert f"model: {before}, with which annotations was made, not starter" in done.stderr
    assert "1 new, 1 kept" in done.stderr
    assert invoke("annotate", "photos", "--out", "new").exit_code == 0
    assert invoke("model", "list").stdout.count("starter") == 2  # one row: its name, and where it is from


def test_a_starter_that_cannot_be_kept_annotates(
    invoke: Invoke, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "STARTER_FOLDER", make_bundle(tmp_path / "package", seed=5))
    home.parent.write_text("a file")
    make_photo(tmp_path / "photos" / "1.jpg", 1)
    done = invoke("annotate", "photos")
    assert done.exit_code == 0, done.stderr
