"""The whole way from a publisher's server to a data set, with stand-ins of the official archives."""

import itertools
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import Said
from datasets import standins
from datasets.publisher import Site, serving
from datasets.test_unpack import make_bz2, make_tar

from aaam_pipeline.core import http
from aaam_pipeline.core.errors import DatasetError, UsageError
from aaam_pipeline.core.locks import exclusive
from aaam_pipeline.datasets import registry
from aaam_pipeline.datasets.fetching import archives as published
from aaam_pipeline.datasets.fetching import obtain as module
from aaam_pipeline.datasets.fetching import transfer
from aaam_pipeline.datasets.listing import Listing
from aaam_pipeline.datasets.nuswide import flickr


def contents(root: Path, *parts: str) -> dict[str, bytes]:
    """Return the files of a stand-in whose paths begin with one of `parts`."""
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    return {name: content for name, content in files.items() if name.startswith(parts)}


def zipped(folder: Path, files: dict[str, bytes]) -> bytes:
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return (folder / "x.zip").read_bytes()


def tarred(path: Path) -> bytes:
    return path.read_bytes()


def archives(name: str, folder: Path) -> dict[str, bytes]:
    """Return a stand-in's files in archives of the publishers' names and insides."""
    root = standins.MAKERS[name](folder / "made" / name)
    if name == "coco2014":
        captions = {"annotations/captions_train2014.json": b"[]"}
        parts = {part: contents(root, part) for part in ("annotations", "train2014", "val2014")}
        parts["annotations"] |= captions
        names = ("annotations_trainval2014.zip", "train2014.zip", "val2014.zip")
        return {archive: zipped(folder, files) for archive, files in zip(names, parts.values(), strict=True)}
    if name == "iaprtc12":
        lists = contents(root, "iaprtc12_") | {"iaprtc12_train_Gist.fvec": b"features"}
        images = {f"iaprtc12/{path}": content for path, content in contents(root, "images").items()}
        images["iaprtc12/annotations_complete_eng/00/25.eng"] = b"<DOC>"
        return {
            "iaprtc12.20091111.tar.bz2": tarred(make_bz2(folder / "bz2", lists)),
            "iaprtc12.tgz": tarred(make_tar(folder / "tgz", images)),
        }
    labels = contents(root, "Groundtruth")
    labels["Groundtruth/AllLabels/Labels_sky.txt"] = b"1\n"
    return {
        "ImageList.zip": zipped(folder, contents(root, "ImageList")),
        "ConceptsList.zip": zipped(folder, {"Concepts81.txt": (root / "ConceptsList/Concepts81.txt").read_bytes()}),
        "Groundtruth.zip": zipped(folder, labels),
    }


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A mirror; sizes and checksums of the real files do not hold for the stand-ins."""
    monkeypatch.chdir(tmp_path)
    for name in ("AAAM_DATA_DIR", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(http, "BACKOFF", 0)
    for name in ("coco2014", "iaprtc12", "nuswide"):
        adapter = registry.get(name)
        table = getattr(published, name.upper())
        monkeypatch.setattr(adapter, name.upper(), [each._replace(bytes=9000, exact=False, md5=None) for each in table])
    with serving() as site:
        yield site


def publish(site: Site, name: str, folder: Path) -> None:
    site.files |= {f"{name}/{archive}": content for archive, content in archives(name, folder).items()}


def obtained(site: Site, name: str, report: Said | None = None, **settings: object) -> Listing:
    dataset = registry.get(name)
    mirror = site.address(f"{name}/")
    params = dataset.Params(**({"mirror": mirror, "val": 2, "allow_partial": True} | settings))
    raw = Path("raw")
    shutil.rmtree(raw, ignore_errors=True)
    raw.mkdir()
    dataset.download(params, raw, report or Said())
    return dataset.read(raw, params)


def same(listing: Listing, other: Listing) -> bool:
    def plain(each: Listing) -> list[object]:
        return [each.labels, [[(e.image_id, e.labels) for e in examples] for examples in each.splits.values()]]

    return plain(listing) == plain(other)


@pytest.mark.parametrize("name", ["coco2014", "iaprtc12"])
def test_what_is_downloaded_is_what_a_users_copy_would_be(name: str, site: Site, tmp_path: Path) -> None:
    publish(site, name, tmp_path)
    report = Said()
    listing = obtained(site, name, report)
    assert same(listing, obtained(site, name, root=str(tmp_path / "made" / name)))
    # relative to the project, which can be moved
    cache = Path(".aaam", "download", name)
    assert all(example.path.is_relative_to(cache) for examples in listing.splits.values() for example in examples)
    left = {path.name for path in cache.rglob("*") if path.is_file()}
    assert not {"captions_train2014.json", "25.eng", "iaprtc12_train_Gist.fvec", *registry.BUILT_IN} & left
    assert not [each for each in left if each.endswith((".zip", ".tgz", ".bz2", ".part"))]
    assert report.lines[0].startswith(f"{name}: downloads 0.0 MB into {tmp_path / cache}")
    assert "are free" in report.lines[0]


@pytest.mark.parametrize("name", ["coco2014", "iaprtc12"])
def test_what_is_there_is_not_fetched_again(name: str, site: Site, tmp_path: Path) -> None:
    publish(site, name, tmp_path)
    first = obtained(site, name)
    assert set(site.requests.values()) == {1}
    assert same(first, obtained(site, name))
    assert set(site.requests.values()) == {1}


def test_a_download_that_broke_off_resumes_with_the_file_it_was_at(site: Site, tmp_path: Path) -> None:
    publish(site, "coco2014", tmp_path)
    bad = "coco2014/train2014.zip"
    site.answers[bad] = ["break_off", *["hang_up"] * (transfer.ATTEMPTS - 1)]
    with pytest.raises(DatasetError, match=r"cannot download train2014\.zip .*bytes are kept.*coco2014\.data\.mirror"):
        obtained(site, "coco2014")
    site.requests.clear()
    obtained(site, "coco2014")
    assert site.requests == {"coco2014/train2014.zip": 1, "coco2014/val2014.zip": 1}
    assert site.ranges == [f"bytes={len(site.files[bad]) // 3}-"]


def test_checksums_are_checked(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(site, "coco2014", tmp_path)
    adapter = registry.get("coco2014")
    table = [each._replace(md5="0" * 32) for each in adapter.COCO2014]  # type: ignore[attr-defined]
    monkeypatch.setattr(adapter, "COCO2014", table)
    with pytest.raises(DatasetError, match=r"annotations_trainval2014\.zip .*has not the MD5 000"):
        obtained(site, "coco2014")


def test_what_is_not_on_the_mirror_is_not_asked_for_elsewhere(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=rf"annotations_trainval2014\.zip from {site.url}/coco2014/.*404") as caught:
        obtained(site, "coco2014")
    assert "images.cocodataset.org" not in str(caught.value)
    assert "coco2014.data.root to a copy" in str(caught.value)


def test_a_disk_that_is_too_small_is_known_before_anything_is_fetched(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(site, "coco2014", tmp_path)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: SimpleNamespace(free=2000))
    with pytest.raises(DatasetError, match=r"MB are needed in .*, and 0\.0 MB are free; make room"):
        obtained(site, "coco2014")
    assert not site.requests


def test_two_processes_do_not_download_the_same(site: Site, tmp_path: Path) -> None:
    with exclusive(tmp_path / ".aaam" / "download" / "coco2014"), pytest.raises(UsageError, match="another process"):
        obtained(site, "coco2014")


def test_addresses_are_the_publishers_unless_there_is_a_mirror() -> None:
    every = (*published.COCO2014, *published.IAPRTC12, *published.NUSWIDE)
    assert len({archive.name for archive in every}) == len(every)
    for archive in every:
        assert archive.addresses(None)
        assert all(address.endswith(f"/{archive.name}") for address in archive.addresses(None))
        assert archive.bytes <= archive.unpacked or "annotations" in archive.name or archive.name.endswith("bz2")
        assert len(archive.addresses(None)) == len(archive.hosts)
        assert archive.addresses("https://host/x/") == (f"https://host/x/{archive.name}",)


# NUS-WIDE: lists and labels are published, photographs are not


def test_photographs_on_request_are_said_to_be_so_with_the_steps(site: Site) -> None:
    with pytest.raises(DatasetError, match=r"agreement form .*nuswide\.data\.root .*nuswide\.data\.fetch"):
        obtained(site, "nuswide")
    assert not site.requests


def test_the_list_of_urls_that_is_needed_is_said_to_be_so_with_the_steps(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"NUS-WIDE-urls\.txt: download .*\.rar, unpack it .*put the file into /"):
        obtained(site, "nuswide", fetch=True)
    assert not site.requests


def url_list(site: Site, *lines: str) -> str:
    """Write the publisher's list: photograph 0 only in small, 1 in the usual sizes, the others in the middle size."""
    rows = []
    for number, image in enumerate([*standins.NUS_TRAIN, *standins.NUS_TEST]):
        path = "C:\\ImageData\\Flickr\\" + image.replace("/", "\\") + ".jpg"
        middle, small = (site.address(f"{size}/{image}.jpg") for size in ("middle", "small"))
        rows.append(f"{path} {image.split('_')[1]}  null  {'null' if number == 0 else middle}  {small}  null ")
    heading = "%%%%%%Photo_file    Photo_id    url_Large   url_Middle   url_Small  url_Original%%%%%%"
    return "\n".join([heading, *rows, *lines]) + "\n"


@pytest.fixture
def photographs(site: Site, tmp_path: Path) -> Site:
    """Photographs of Flickr: all in the middle size but for number 0, which there is in small."""
    publish(site, "nuswide", tmp_path)
    cache = tmp_path / ".aaam" / "download" / "nuswide"
    cache.mkdir(parents=True)
    (cache / "NUS-WIDE-urls.txt").write_text(url_list(site))
    root = tmp_path / "made" / "nuswide" / "Flickr"
    for number, image in enumerate([*standins.NUS_TRAIN, *standins.NUS_TEST]):
        site.files[f"{'middle' if number else 'small'}/{image}.jpg"] = (root / f"{image}.jpg").read_bytes()
    site.files["elsewhere/photo_unavailable.png"] = b"\xff\xd8 not really"
    return site


def test_photographs_are_fetched_by_the_list_of_urls(photographs: Site, tmp_path: Path) -> None:
    listing = obtained(photographs, "nuswide", fetch=True)
    assert same(listing, obtained(photographs, "nuswide", root=str(tmp_path / "made" / "nuswide")))
    asked = {path for path in photographs.requests if path.startswith(("middle/", "small/"))}
    assert f"small/{standins.NUS_TRAIN[0]}.jpg" in asked
    # images without a concept are dropped, so nobody asks for them
    assert f"middle/{standins.NUS_TRAIN[4]}.jpg" not in asked
    assert len(asked) == 15


def test_photographs_that_are_gone_are_listed_and_not_asked_for_again(photographs: Site, tmp_path: Path) -> None:
    images = standins.NUS_TRAIN[1:4] + standins.NUS_TEST[:2]
    gone, taken, other, html, later = (f"middle/{image}.jpg" for image in images)
    photographs.answers |= {
        gone: [404], taken: [302], other: [410], html: ["web_page"], later: [503] * http.ATTEMPTS,
    }  # fmt: skip
    report = Said()
    listing = obtained(photographs, "nuswide", report, fetch=True)
    assert set(listing.missing) == set(images)
    assert "10 of 15 photographs are there" in report.lines[-2]
    rows = (tmp_path / ".aaam/download/nuswide/gone.csv").read_text().splitlines()
    assert sorted(rows) == sorted([
        "image_id,reason",
        f"{standins.NUS_TRAIN[1]},HTTP 404 Not Found",
        f"{standins.NUS_TRAIN[2]},no longer on Flickr",
        f"{standins.NUS_TRAIN[3]},HTTP 410 Gone",
        f"{standins.NUS_TEST[0]},no JPEG",
    ])  # fmt: skip
    photographs.requests.clear()
    # the server that was busy is asked again, and what was fetched is not
    assert set(obtained(photographs, "nuswide", fetch=True).missing) == set(listing.missing) - {standins.NUS_TEST[1]}
    assert photographs.requests == {later: 1}


def test_a_network_that_is_down_ends_the_fetching(photographs: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flickr, "HOPELESS", 5)
    for path in photographs.files:
        photographs.answers[path] = ["hang_up"] * http.ATTEMPTS if path.startswith(("middle", "small")) else []
    with pytest.raises(DatasetError, match=r"5 photographs in a row .*the connection broke off.*command resumes"):
        obtained(photographs, "nuswide", fetch=True)
    # how many others had been asked for by then is chance
    photographs.answers.clear()
    assert len(obtained(photographs, "nuswide", fetch=True).missing) == 0


def test_a_damaged_list_of_urls_is_said_with_its_line(photographs: Site, tmp_path: Path) -> None:
    for line, number in ((r"C:\a\0001_5.jpg 5 null", 20), ("x 5 null null null null", 20)):
        (tmp_path / ".aaam/download/nuswide/NUS-WIDE-urls.txt").write_text(url_list(photographs, line))
        with pytest.raises(DatasetError, match=rf"NUS-WIDE-urls\.txt, line {number}: not a path"):
            obtained(photographs, "nuswide", fetch=True)


def test_photographs_fetched_complete_a_users_copy_which_stays_as_it_is(photographs: Site, tmp_path: Path) -> None:
    root = tmp_path / "made" / "nuswide"
    for image in itertools.islice(standins.NUS_TRAIN, 6):
        (root / "Flickr" / f"{image}.jpg").unlink()
    (root / "NUS-WIDE-urls.txt").write_text(url_list(photographs))
    before = sorted(root.rglob("*"))
    listing = obtained(photographs, "nuswide", root=str(root), fetch=True)
    assert listing.missing == ()
    assert sorted(root.rglob("*")) == before
    assert json.loads(Path("raw/copy.json").read_text())["root"] == "made/nuswide"
