"""Keywords into sidecars: what a person wrote stays, what is not new is not written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keyword_library import FIELDS, WORDS, Library, edit, within, without
from labelled import MODEL_ID, annotate_files
from xmp_samples import DARKTABLE, DIGIKAM, LIGHTROOM, listed, rest_of

from aaam_pipeline.formats import taught, xmp
from aaam_pipeline.formats.model_ids import embedding_of
from aaam_pipeline.formats.taught import TaughtLine, TaughtWord


@pytest.fixture
def library(tmp_path: Path, invoke: Callable[..., Any]) -> Library:
    return Library(tmp_path, invoke)


def test_labels_go_to_all_three_fields_and_a_second_run_writes_nothing(library: Library) -> None:
    library.annotate({"one.jpg": {"dog": 0.9, "a/b": 0.8, "one, two": 0.7}, "two.jpg": {}})
    library.write()
    assert library.names() == {"one.jpg", "one.jpg.xmp", "two.jpg"}
    assert library.texts("one.jpg.xmp") == ["dog", "a/b", "one, two"]
    for field in FIELDS[1:]:
        assert library.texts("one.jpg.xmp", field) == ["dog", "one, two"]
    before = library.sidecar("one.jpg.xmp").stat()
    # a new score alone is nothing new
    library.annotate({"one.jpg": {"dog": 0.6, "a/b": 0.9, "one, two": 0.99}, "two.jpg": {}})
    assert "1 unchanged" in library.write().stderr or "2 unchanged" in library.write().stderr
    after = library.sidecar("one.jpg.xmp").stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)
    library.undo()
    assert library.names() == {"one.jpg", "two.jpg"}


@pytest.mark.parametrize(
    ("sample", "name"), [(LIGHTROOM, "IMG.xmp"), (DIGIKAM, "IMG.jpg.xmp"), (DARKTABLE, "IMG.jpg.xmp")]
)
def test_the_sidecar_that_is_there_is_updated_and_all_else_in_it_kept(library: Library, sample: str, name: str) -> None:
    library.add("IMG.jpg")
    library.sidecar(name).write_text(sample, "utf8")
    library.annotate({"IMG.jpg": {"dog": 0.9}})
    library.write("--sidecar-style", "stem")
    assert library.names() == {"IMG.jpg", name}
    after = library.sidecar(name).read_bytes()
    assert rest_of(after) == rest_of(sample.encode())
    assert {*listed(sample.encode(), "dc:subject"), "dog"} == set(library.texts(name))
    library.undo()
    assert library.sidecar(name).read_text("utf8") == sample


def test_decisions_win_over_the_model(library: Library) -> None:
    library.annotate({"one.jpg": {"dog": 0.9, "cat": 0.9}})
    library.write()
    library.decide("one.jpg", "dog", "no")
    library.decide("one.jpg", "grandmother", "yes")
    library.write()
    assert library.texts("one.jpg.xmp") == ["cat", "grandmother"]
    entries = {entry.value: entry for entry in xmp.parse(library.sidecar("one.jpg.xmp").read_bytes()).ours()}
    assert (entries["cat"].by, entries["cat"].score, entries["cat"].model) == (
        "model",
        0.9,
        "toy-hard-0123abcd-89ef4567",
    )
    assert entries["grandmother"].by == "person"


def test_a_keyword_of_ours_that_somebody_deletes_becomes_a_no_and_stays_away(library: Library) -> None:
    library.annotate({"one.jpg": {"dog": 0.9, "cat": 0.9}})
    library.write()
    edit(library.sidecar("one.jpg.xmp"), without("dog"))
    assert "gone by somebody's hand" in library.write().stderr
    assert library.verdicts("one.jpg") == {"dog": "file no"}
    assert {*library.texts("one.jpg.xmp", "digiKam:TagsList")} == {"cat"}
    before = library.sidecar("one.jpg.xmp").read_bytes()
    library.write()
    assert library.sidecar("one.jpg.xmp").read_bytes() == before
    # without the ledger, too
    library.ledger.unlink()
    library.write()
    assert library.sidecar("one.jpg.xmp").read_bytes() == before
    library.decide("one.jpg", "dog", "yes", at="2099-01-01T00:00:00Z")
    library.write()
    assert library.texts("one.jpg.xmp") == ["cat", "dog"]


def test_one_deleted_in_a_single_field_is_deleted_also_where_a_person_said_yes_before(library: Library) -> None:
    library.annotate({"one.jpg": {"cat": 0.9}})
    library.decide("one.jpg", "dog", "yes", at="2020-01-01T00:00:00Z")
    library.write()
    path = library.sidecar("one.jpg.xmp")
    first = path.read_text("utf8")
    place = first.index("<rdf:li>dog</rdf:li>")
    path.write_text(first[:place] + first[place + len("<rdf:li>dog</rdf:li>") :], "utf8")
    library.write()
    library.write()
    for field in FIELDS:
        assert library.texts("one.jpg.xmp", field) == ["cat"]
    # a person outranks a file
    assert library.verdicts("one.jpg") == {"dog": "person yes"}


def test_one_that_is_moved_in_a_tree_is_somebodys_own_from_then_on(library: Library) -> None:
    library.annotate({"one.jpg": {"dog": 0.9}})
    library.write()
    edit(library.sidecar("one.jpg.xmp"), within("lr:hierarchicalSubject", "dog", "animals|dog"))
    library.write()
    assert library.verdicts("one.jpg") == {}
    library.annotate({"one.jpg": {}})
    library.write()
    assert library.texts("one.jpg.xmp") == ["dog"]
    assert library.texts("one.jpg.xmp", "lr:hierarchicalSubject") == ["animals|dog"]


def test_what_a_person_adds_later_is_in_all_fields_after_the_next_run(library: Library) -> None:
    library.annotate({"one.jpg": {"dog": 0.9}})
    library.write()
    # as Lightroom does, which does not know TagsList
    both = {"dc:subject": "beach", "lr:hierarchicalSubject": "places|beach"}
    for field, text in both.items():
        own = f"<rdf:li>dog</rdf:li><rdf:li>{text}</rdf:li>"
        edit(library.sidecar("one.jpg.xmp"), within(field, "<rdf:li>dog</rdf:li>", own))
    library.write()
    assert set(library.texts("one.jpg.xmp", "digiKam:TagsList")) == {"dog", "places/beach"}
    for text in both.values():
        edit(library.sidecar("one.jpg.xmp"), without(text))
    library.write()
    assert library.texts("one.jpg.xmp", "digiKam:TagsList") == ["dog"]
    assert library.verdicts("one.jpg") == {}


def test_keywords_in_the_picture_are_in_a_new_sidecar_since_it_would_hide_them(library: Library) -> None:
    library.add("one.jpg")
    packet = xmp.EMPTY.with_keywords({"dc:subject": ["holiday"], "lr:hierarchicalSubject": ["events|holiday"]}, {}, [])
    body = b"http://ns.adobe.com/xap/1.0/\0" + packet.to_bytes(padding=100)
    segment = b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body
    (library.photos / "one.jpg").write_bytes(b"\xff\xd8" + segment + b"\xff\xda\0\x02\0\xff\xd9")
    library.annotate({"one.jpg": {"dog": 0.9}})
    library.write()
    assert set(library.texts("one.jpg.xmp", "digiKam:TagsList")) == {"dog", "events/holiday"}
    assert set(library.texts("one.jpg.xmp")) == {"dog", "holiday"}
    before = library.sidecar("one.jpg.xmp").read_bytes()
    library.write()
    assert library.sidecar("one.jpg.xmp").read_bytes() == before
    library.undo()
    assert library.names() == {"one.jpg"}


def test_only_the_labels_asked_for_are_written_and_taken_out(library: Library) -> None:
    library.annotate({"one.jpg": {"dog": 0.9, "cat": 0.9, "one, two": 0.9}})
    library.write("--labels", "one, two", "--labels", "dog,car")
    assert library.texts("one.jpg.xmp") == ["dog", "one, two"]
    library.annotate({"one.jpg": {"cat": 0.9}})
    library.write("--labels", "dog")
    assert library.texts("one.jpg.xmp") == ["one, two"]
    # as of a variable that is not set in a script: never all labels
    assert "--labels names no label" in library.write("--labels", "", code=2).stderr
    result = library.write("--labels", "dgo", code=2)
    assert "dog" in result.stderr


def test_a_precision_is_what_calibrated_scores_let_expect(library: Library) -> None:
    scores = {f"{score}.jpg": {"dog": score / 100, "cat": 0.55} for score in range(50, 100, 5)}
    library.annotate(scores)
    result = library.write("--precision", "0.9")
    assert "withheld, since no score is enough: cat" in result.stderr
    written = sorted(name for name in library.names() if name.endswith(".xmp"))
    # 95, 90 and 85 have a mean of 0.9
    assert written == ["85.jpg.xmp", "90.jpg.xmp", "95.jpg.xmp"]
    assert library.texts("85.jpg.xmp") == ["dog"]


def test_thresholds_of_a_file_say_from_which_score_on_a_label_is_written(library: Library) -> None:
    library.annotate({f"{score}.jpg": {"dog": score / 100, "cat": 0.9, "car": 0.9} for score in (60, 70, 80)})
    (library.root / "thresholds.json").write_text('{"dog": 0.7, "cat": null}')
    assert "withheld, since no score is enough: cat" in library.write("--thresholds", "thresholds.json").stderr
    assert {name for name in library.names() if name.endswith(".xmp")} == {"70.jpg.xmp", "80.jpg.xmp"}
    assert library.texts("80.jpg.xmp") == ["dog"]
    library.write("--thresholds", "thresholds.json", "--precision", "0.9", code=2)
    library.write("--thresholds", "nothing.json", code=2)


def test_words_that_a_person_taught_are_written_too(library: Library) -> None:
    library.add("mine.jpg", "other.jpg")
    embeddings = {"mine.jpg": 1.0, "other.jpg": -1.0}
    folder = library.root / "annotations"
    annotate_files(folder, library.photos, {name: {"cat": 0.9} for name in embeddings}, WORDS, embeddings=embeddings)
    embedding = embedding_of(MODEL_ID)
    word = TaughtWord("my dog", embedding, ["0" * 64], [], 0.6, 0.9, 0.8, 1.0, 20, "2026-11-29T10:00:00Z", "logistic")
    taught.write(library.root / taught.NAME, [TaughtLine(word, np.array([4.0], np.float32), 0.0)])
    library.write()
    assert library.texts("mine.jpg.xmp") == ["cat", "my dog"]
    assert library.texts("other.jpg.xmp") == ["cat"]
    library.write("--labels", "my dog", "--precision", "0.99")
    assert library.texts("mine.jpg.xmp") == ["cat"]
    (library.root / taught.NAME).unlink()
    library.write("--labels", "my dog", code=2)


def test_a_dry_run_says_what_would_be_and_writes_nothing(library: Library) -> None:
    library.annotate({"one.jpg": {"dog": 0.9}, "two.jpg": {}})
    result = library.write("--dry-run")
    assert result.stdout.split() == ["photos/one.jpg.xmp", "create", "+dog"]
    assert "1 to make, 1 unchanged" in result.stderr
    lines = [json.loads(line) for line in library.write("--dry-run", "--json").stdout.splitlines()]
    assert [(line["path"], line["action"], line["added"]) for line in lines] == [("one.jpg", "create", ["dog"])]
    assert library.names() == {"one.jpg", "two.jpg"}
    library.write()
    edit(library.sidecar("one.jpg.xmp"), without("dog"))
    library.write("--dry-run")
    library.undo("--dry-run")
    assert not library.ledger.exists()
    assert "one.jpg.xmp" in library.names()
