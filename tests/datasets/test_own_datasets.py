"""Data sets of other packages: found by entry points, used by the stages, refused in one line."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import make_photo

from aaam_pipeline.core.errors import AaamError, DatasetError, UsageError
from aaam_pipeline.core.params import ParamsFile
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.datasets import registry
from aaam_pipeline.datasets.prepared import read_labels, read_split

PROJECT = Path(__file__).parents[2]
# the example of the documentation; it prints nothing, so that it is marked `py` and not `python` there
MODULE = re.search(r"```py\n(# my_birds.py\n.*?)```", (PROJECT / "docs" / "datasets.md").read_text(), re.DOTALL)
KINDS = ("heron", "owl", "wren")
BROKEN = """
class Params: pass
def download(params, out, report): raise KeyError("two\\nlines")
def read(raw, params): return []
class NoRead: Params = Params; download = download
"""


def install(folder: Path, entries: dict[str, str], package: str = "my-birds") -> Path:
    """Write an installed package: its modules, and the entry points `entries`."""
    info = folder / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = [f"{name} = {target}" for name, target in entries.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{registry.GROUP}]", *lines, ""]))
    assert MODULE
    (folder / "my_birds.py").write_text(MODULE[1])
    (folder / "my_broken.py").write_text(BROKEN)
    return folder


def write_params(folder: Path) -> None:
    for number in range(15):
        make_photo(folder / "photos" / KINDS[number % 3] / f"{number}.jpg", number)
    block = {"data": {"root": str(folder / "photos"), "val": 3, "test": 4}, "preprocess": {"size": 16}}
    (folder / "params.yaml").write_text(yaml.safe_dump({"datasets": ["birds"], "birds": block}))


def stage(folder: Path, packages: Path, *words: str) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("AAAM_")}
    return subprocess.run(
        [sys.executable, "-m", f"stages.{words[0]}", *words[1:]],
        cwd=folder,
        env=plain | {"PYTHONPATH": os.pathsep.join([str(PROJECT), str(packages)])},
        capture_output=True,
        text=True,
        timeout=200,
    )


def test_the_documented_package_is_downloaded_and_prepared_by_the_stages(tmp_path: Path) -> None:
    packages = install(tmp_path / "site", {"birds": "my_birds"})
    write_params(tmp_path)
    downloaded = stage(tmp_path, packages, "download", "birds", "data/raw/birds")
    assert (downloaded.returncode, downloaded.stderr) == (0, "birds: 15 photographs\n")
    done = stage(tmp_path, packages, "prepare", "birds", "data/raw/birds", "data/prepared/birds")
    assert done.returncode == 0, done.stderr
    prepared = tmp_path / "data" / "prepared" / "birds"
    assert read_labels(prepared) == list(KINDS)
    splits = {name: read_split(prepared, name) for name in ("train", "val", "test")}
    assert {name: split.pixels_NSS3.shape for name, split in splits.items()} == {
        "train": (8, 16, 16, 3), "val": (3, 16, 16, 3), "test": (4, 16, 16, 3),
    }  # fmt: skip
    for split in splits.values():
        kinds = [KINDS[row.argmax()] for row in split.targets_NL]
        assert kinds == [id.split("/")[0] for id in split.image_ids]
    assert len({id for split in splits.values() for id in split.image_ids}) == 15


def test_what_is_wrong_with_a_package_ends_a_stage_with_one_line(tmp_path: Path) -> None:
    packages = install(tmp_path / "site", {"birds": "my_moths"})
    write_params(tmp_path)
    done = stage(tmp_path, packages, "download", "birds", "raw")
    assert done.returncode == 2
    assert done.stderr == (
        "error: the data set 'birds' of my-birds cannot be imported: ModuleNotFoundError: No module named 'my_moths'\n"
    )


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("my_broken:NoRead", "the data set 'birds' of my-birds has no read: a data set has Params, download, read"),
        ("my_broken:Absent", "the data set 'birds' of my-birds cannot be imported: AttributeError: "),
    ],
)
def test_a_package_that_lacks_something_is_named(
    entry: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(install(tmp_path, {"birds": entry}))
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        registry.get("birds")
    assert "\n" not in str(caught.value)


def test_what_goes_wrong_in_it_is_one_line_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(install(tmp_path, {"birds": "my_broken"}))
    birds = registry.get("birds")
    with pytest.raises(AaamError, match=r"birds failed: KeyError: .*two.*lines") as caught:
        birds.download(None, tmp_path, NullReporter())
    assert "\n" not in str(caught.value)
    with pytest.raises(DatasetError, match="birds: read returns list, not a Listing"):
        birds.read(tmp_path, None)


def test_its_settings_are_checked_like_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(install(tmp_path, {"birds": "my_birds"}))
    (tmp_path / "params.yaml").write_text("birds: {data: {root: x, vla: 3}}")
    with pytest.raises(UsageError, match=r"in birds\.data: .*`vla`.*did you mean 'val'"):
        registry.load_params("birds", ParamsFile.read(tmp_path / "params.yaml"))


def test_names_are_listed_and_those_of_this_package_go_before_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = {"birds": "my_birds", "scenes": "my_birds", "a.dot": "my_birds"}
    monkeypatch.syspath_prepend(install(tmp_path / "one", entries))
    assert registry.names() == (*registry.BUILT_IN, "a.dot", "birds")
    assert registry.get("scenes").__name__ == "aaam_pipeline.datasets.scenes"  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match=r"no data set 'brids'; known: coco2014, .*, scenes, a\.dot, birds"):
        registry.get("brids")
    with pytest.raises(UsageError, match=r"name of the data set 'a\.dot' of my-birds may have letters, digits and _ -"):
        registry.get("a.dot")
    monkeypatch.syspath_prepend(install(tmp_path / "two", {"birds": "my_birds"}, "more-birds"))
    with pytest.raises(UsageError, match="'birds' is in several packages: more-birds and my-birds; uninstall all but"):
        registry.get("birds")


def test_an_edit_of_its_code_is_known_to_the_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(install(tmp_path, {"birds": "my_birds"}))
    # another test's copy
    monkeypatch.delitem(sys.modules, "my_birds", raising=False)
    params = ParamsFile(tmp_path / "params.yaml", {"birds": {"k": 1}})
    before = registry.code_fingerprint("birds", params)
    with (tmp_path / "my_birds.py").open("a") as file:
        file.write("# edited\n")
    assert None is not before != registry.code_fingerprint("birds", params)
