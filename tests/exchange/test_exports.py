"""Each format is read back, by the rules of who reads it: labels of the model, and those that people decided."""

import json
import os
import tarfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from exchange.exported import STRANGE, annotated_rows, decide, expected
from PIL import Image

from aaam_pipeline.core.csv_cells import from_cell
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.datasets.folder.tables import read_labels
from aaam_pipeline.exchange.exporters import run
from aaam_pipeline.exchange.exporters.options import ExportOptions
from aaam_pipeline.exchange.exporters.run import FORMATS, ExportSummary
from aaam_pipeline.formats import decisions
from aaam_pipeline.formats.model_ids import embedding_of
from aaam_pipeline.formats.parts import read_annotations_manifest
from aaam_pipeline.formats.taught import TaughtLine, TaughtWord


class Library(NamedTuple):
    """Annotations, the ledger beside them, what each photograph is to have, and which labels are denied."""

    annotations: Path
    ledger: Path
    labels: dict[str, set[str]]
    denied: tuple[str, str]


@pytest.fixture(scope="module")
def library(annotated: Path, tmp_path_factory: pytest.TempPathFactory) -> Library:
    rows = annotated_rows(annotated)
    ledger = tmp_path_factory.mktemp("decided") / "decisions.jsonl"
    wrong = next(number for number, row in enumerate(rows) if row["labels"])
    label = rows[wrong]["labels"][0]
    decided = {(3, STRANGE): "yes", (4, "unicorn"): "yes", (wrong, label): "no"}
    decide(ledger, rows, *((row, name, value) for (row, name), value in decided.items()))
    return Library(annotated, ledger, expected(rows, decided), (rows[wrong]["path"], label))


def exported(library: Library, name: str, out: Path, **options: object) -> ExportSummary:
    ledger = decisions.read(library.ledger)
    return run.export(FORMATS[name], out, library.annotations, ledger, ExportOptions(**options), NullReporter())


def test_csv(library: Library, tmp_path: Path) -> None:
    exported(library, "csv", tmp_path / "labels.csv")
    table = pd.read_csv(tmp_path / "labels.csv", keep_default_na=False)
    found = {path: set() for path in table["image"]}
    for path, label in table[table["value"] == "yes"][["image", "label"]].itertuples(index=False):
        found[path].add(from_cell(label))
    assert found == library.labels
    (no,) = table[table["value"] == "no"].itertuples()
    assert (no.image, no.label, no.by, no.source, no.at) == (*library.denied, "person", "anna", "2026-11-29T10:00:00Z")
    assert set(table[table["label"] == "unicorn"]["by"]) == {"person"}
    assert (table[table["by"] == "model"]["score"].astype(float) >= 0.5).all()


def test_csv_is_read_as_a_table_of_labels_to_train_with(library: Library, tmp_path: Path) -> None:
    exported(library, "csv", tmp_path / "labels.csv")
    table = read_labels(tmp_path / "labels.csv")
    assert set(table.images) == set(library.labels)
    assert int((table.values_P == 1).sum()) == sum(map(len, library.labels.values()))
    assert int((table.values_P == 0).sum()) == 1


def test_csv_with_scores_has_every_label_of_every_photograph(library: Library, tmp_path: Path) -> None:
    exported(library, "csv", tmp_path / "labels.csv", scores=True, labels=["dog,grass", "unicorn"])
    table = pd.read_csv(tmp_path / "labels.csv", keep_default_na=False)
    counts = table.groupby("image")["label"].nunique()
    assert (counts >= 2).all()
    assert counts.max() == 3
    assert set(table["value"]) <= {"yes", "no", ""}
    rows = {row["path"]: row["scores"] for row in annotated_rows(library.annotations)}
    for image, score in table[table["label"] == "dog"][["image", "score"]].itertuples(index=False):
        assert float(score) == pytest.approx(rows[image][4])


def test_json_lines(library: Library, tmp_path: Path) -> None:
    exported(library, "jsonl", tmp_path / "labels.jsonl", scores=True)
    rows = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text().splitlines()]
    assert {row["path"]: set(row["labels"]) for row in rows} == library.labels
    assert all([each["label"] for each in row["label_facts"]] == row["labels"] for row in rows)
    assert all(len(row["scores"]) == 5 and Path(row["root"], row["path"]).is_file() for row in rows)
    # what a person decided comes first, whatever the model thinks
    (row,) = (row for row in rows if STRANGE in row["labels"])
    assert row["label_facts"][0] == {
        "label": STRANGE, "score": None, "by": "person", "source": "anna", "at": "2026-11-29T10:00:00Z"
    }  # fmt: skip
    (row,) = (row for row in rows if row["denied"])
    assert (row["path"], row["denied"][0]["label"]) == library.denied
    assert row["denied"][0]["score"] >= 0.5


def test_a_threshold_is_one_for_all_labels(library: Library, tmp_path: Path) -> None:
    exported(library, "jsonl", tmp_path / "labels.jsonl", threshold=0.9)
    rows = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text().splitlines()]
    names = ["grass", "football", "traffic light", "person", "dog"]
    for row, stored in zip(rows, annotated_rows(library.annotations), strict=True):
        likely = {name for name, score in zip(names, stored["scores"], strict=True) if score >= 0.9}
        assert {each["label"] for each in row["label_facts"] if each["by"] == "model"} <= likely
        assert likely - {library.denied[1]} <= set(row["labels"])


def test_words_that_were_taught_are_labels_too(library: Library, tmp_path: Path) -> None:
    manifest = read_annotations_manifest(library.annotations)
    weight_D = np.random.default_rng(0).normal(0, 9, manifest.embedding_dim).astype(np.float32)

    def line(label: str, embedding: str) -> TaughtLine:
        word = TaughtWord(label, embedding, ["0" * 64], [], 0.6, 0.9, 0.8, 1.0, 20, "2026-11-29T10:00:00Z", "logistic")
        return TaughtLine(word, weight_D, 0.0)

    mine = embedding_of(manifest.model_id)
    words = [line("my dog", mine), line("of another model", "other"), line("Grass", mine)]
    options = ExportOptions(labels=["my dog", "grass"], scores=True)
    ledger = decisions.read(library.ledger)
    out = tmp_path / "labels.jsonl"
    run.export(FORMATS["jsonl"], out, library.annotations, ledger, options, NullReporter(), words)
    rows = [json.loads(text) for text in out.read_text().splitlines()]
    assigned = [row for row in rows if "my dog" in row["labels"]]
    assert 0 < len(assigned) < len(rows)
    for row in rows:
        assert set(row["scores"]) == {"my dog", "grass"}
        assert ("my dog" in row["labels"]) == (row["scores"]["my dog"] >= 0.6)
        assert ("grass" in row["labels"]) == ("grass" in library.labels[row["path"]])


def test_annotations_of_an_earlier_version_are_exported(tmp_path: Path) -> None:
    older = Path(__file__).parents[1] / "golden" / "annotations_version_2"
    out, ledger = tmp_path / "labels.jsonl", decisions.read(tmp_path / "none.jsonl")
    summary = run.export(FORMATS["jsonl"], out, older, ledger, ExportOptions(scores=True), NullReporter())
    assert (summary.images, summary.failed) == (4, 1)
    for row in map(json.loads, out.read_text().splitlines()):
        assert all(each["score"] == row["scores"][each["label"]] for each in row["label_facts"])


def test_coco(library: Library, tmp_path: Path) -> None:
    exported(library, "coco", tmp_path / "coco.json")
    read = json.loads((tmp_path / "coco.json").read_text())
    assert {"info", "licenses", "categories", "images", "annotations"} <= set(read)
    categories = {each["id"]: each["name"] for each in read["categories"]}
    images = {each["id"]: each["file_name"] for each in read["images"]}
    assert len(images) == len(read["images"])
    assert len({each["id"] for each in read["annotations"]}) == len(read["annotations"])
    found: dict[str, set[str]] = {name: set() for name in images.values()}
    for each in read["annotations"]:
        found[images[each["image_id"]]].add(categories[each["category_id"]])
    assert found == library.labels
    (image,) = (each for each in read["images"] if each["neg_category_ids"])
    assert (image["file_name"], categories[image["neg_category_ids"][0]]) == library.denied
    assert {each["by"] for each in read["annotations"]} == {"model", "person"}


def test_pycocotools_reads_coco(library: Library, tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    exported(library, "coco", tmp_path / "coco.json")
    read = coco.COCO(str(tmp_path / "coco.json"))
    (image,) = read.loadImgs(read.getImgIds(catIds=read.getCatIds(catNms=[STRANGE])))
    assert STRANGE in library.labels[image["file_name"]]


def test_yolo(library: Library, tmp_path: Path) -> None:
    summary = exported(library, "yolo", tmp_path / "yolo", shares={"val": 0.3})
    data = yaml.safe_load((tmp_path / "yolo" / "data.yaml").read_text())
    found = {}
    for split in ("train", "val"):
        listed = (tmp_path / "yolo" / data[split]).read_text().splitlines()
        assert len(listed) == summary.splits[split] > 0
        for line in listed:
            image = tmp_path / "yolo" / line
            Image.open(image).verify()
            # as YOLO finds the labels of an image
            text = Path(str(image).replace("/images/", "/labels/")).with_suffix(".txt").read_text()
            found[os.path.realpath(image)] = {data["names"][int(number)] for number in text.split()}
    assert data["nc"] == len(data["names"])
    assert found == {os.path.realpath(_root(library) / path): labels for path, labels in library.labels.items()}


def test_yolo_classify(library: Library, tmp_path: Path) -> None:
    summary = exported(library, "yolo-classify", tmp_path / "yolo", copy=True)
    labels = json.loads((tmp_path / "yolo" / "classes.json").read_text())
    folders = [path for path in (tmp_path / "yolo" / "train").iterdir() if path.is_dir()]
    assert sorted(folder.name for folder in folders) == sorted(labels)
    assert set(labels.values()) == {"grass", "football", "traffic light", "person", "dog", STRANGE, "unicorn"}
    for folder in folders:
        for image in folder.rglob("*.jpg"):
            assert not image.is_symlink()
            assert labels[folder.name] in library.labels[image.relative_to(folder).as_posix()]
    unlabelled = sum(not each for each in library.labels.values())
    assert summary.left_out == ({"without a label": unlabelled} if unlabelled else {})
    assert len(list((tmp_path / "yolo").rglob("*.jpg"))) == len(library.labels) - unlabelled


def test_fiftyone_by_its_documented_format(library: Library, tmp_path: Path) -> None:
    exported(library, "fiftyone", tmp_path / "fo")
    read = json.loads((tmp_path / "fo" / "labels.json").read_text())
    files = {path.relative_to(tmp_path / "fo" / "data").with_suffix("").as_posix(): path
             for path in (tmp_path / "fo" / "data").rglob("*.jpg")}  # fmt: skip
    assert set(files) == set(read["labels"])
    found = {}
    for key, labels in read["labels"].items():
        assert all(set(each) == {"label", "confidence", "attributes"} for each in labels)
        found[f"{key}.jpg"] = {each["label"] for each in labels}
        assert found[f"{key}.jpg"] <= set(read["classes"])
    assert found == library.labels


def test_fiftyone_imports_it(library: Library, tmp_path: Path) -> None:
    importers = pytest.importorskip("fiftyone.utils.data.importers")
    exported(library, "fiftyone", tmp_path / "fo")
    opened = importers.FiftyOneImageClassificationDatasetImporter(dataset_dir=str(tmp_path / "fo"))
    with opened:
        read = {Path(image).relative_to(tmp_path / "fo" / "data").as_posix(): label for image, _, label in opened}
    assert {path: {each.label for each in labels.classifications} for path, labels in read.items()} == library.labels


def test_webdataset(library: Library, tmp_path: Path) -> None:
    exported(library, "webdataset", tmp_path / "tars", shard_size=10, shares={"test": 0.2})
    found = {}
    for tar in sorted((tmp_path / "tars").glob("*.tar")):
        with tarfile.open(tar) as opened:
            members = opened.getmembers()
            # the members of a sample follow each other
            for picture, text in zip(members[::2], members[1::2], strict=True):
                key, _, kind = picture.name.partition(".")
                assert (kind, text.name) == ("jpg", f"{key}.json")
                row = json.loads(opened.extractfile(text).read())
                assert opened.extractfile(picture).read() == (_root(library) / row["path"]).read_bytes()
                assert tar.name.startswith(row["split"])
                found[row["path"]] = set(row["labels"])
            assert len(members) <= 20
    assert found == library.labels
    assert len(list((tmp_path / "tars").glob("train-*.tar"))) > 1


def test_imagefolder(library: Library, tmp_path: Path) -> None:
    exported(library, "imagefolder", tmp_path / "hf", shares={"val": 0.2, "test": 0.2}, scores=True)
    found = {}
    for split in ("train", "val", "test"):
        rows = pq.read_table(tmp_path / "hf" / split / "metadata.parquet").to_pylist()
        assert rows
        for row in rows:
            assert (tmp_path / "hf" / split / row["file_name"]).is_file()
            assert all(each["by"] for each in row["label_facts"])
            assert len(row["scores"]) == 7
            found[row["path"]] = set(row["labels"])
        names = {
            path.relative_to(tmp_path / "hf" / split).as_posix() for path in (tmp_path / "hf" / split).rglob("*.jpg")
        }
        assert names == {row["file_name"] for row in rows}
    assert found == library.labels


def test_datasets_reads_imagefolder(library: Library, tmp_path: Path) -> None:
    load = pytest.importorskip("datasets.load")
    exported(library, "imagefolder", tmp_path / "hf", copy=True)
    read = load.load_dataset("imagefolder", data_dir=str(tmp_path / "hf"), cache_dir=str(tmp_path / "cache"))
    assert {row["path"]: set(row["labels"]) for row in read["train"]} == library.labels
    assert read["train"][0]["image"].size == (48, 40)


@pytest.mark.parametrize("name", FORMATS)
def test_the_summary_counts_what_is_there(name: str, library: Library, tmp_path: Path) -> None:
    summary = exported(library, name, tmp_path / f"out{FORMATS[name].suffix}")
    labelled = [each for each in library.labels.values() if each or name != "yolo-classify"]
    assert (summary.images, summary.labels) == (len(labelled), sum(map(len, labelled)))
    assert (summary.decided, summary.denied) == (2, 1)


@pytest.mark.parametrize("name", FORMATS)
def test_a_second_time_it_is_the_same(name: str, library: Library, tmp_path: Path) -> None:
    def content(out: Path) -> dict[str, bytes]:
        files = [out] if out.is_file() else [path for path in out.rglob("*") if path.is_file()]
        return {path.relative_to(out).as_posix(): path.read_bytes() for path in files if path.name != run.MARK}

    out = tmp_path / f"out{FORMATS[name].suffix}"
    exported(library, name, out)
    before = content(out)
    exported(library, name, out, overwrite=True)
    assert content(out) == before
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def _root(library: Library) -> Path:
    return Path(annotated_rows(library.annotations)[0]["root"])
