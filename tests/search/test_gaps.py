"""What the model does not know is said: unfamiliar images in hits and filters, words that it knows badly in notes."""

import csv
import io
import json
import shutil
from pathlib import Path

import msgspec
import pytest
from conftest import Invoke, rewrite_json
from search.toy_index import EMBEDDING_ND, IMAGES, LABELS, SCORES_NL, write_annotations

import aaam_pipeline.search as search
from aaam_pipeline.cli import render
from aaam_pipeline.core.errors import IntegrityError, QuerySyntaxError
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.formats.words import WordSupport
from aaam_pipeline.index import manifest as manifests
from aaam_pipeline.index.build import build
from aaam_pipeline.index.verify import verify

GOOD, BAD = WordSupport(90, 400, 20, 80, 0.8), WordSupport(90, 400, 7, 80, 0.12)
# every fifth is unfamiliar, of every tenth nothing is known
STATES = [None if number % 10 == 0 else number % 5 == 1 for number in range(IMAGES)]
UNFAMILIAR, JUDGED = STATES.count(True), IMAGES - STATES.count(None)


@pytest.fixture(scope="module")
def gaps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("gaps")
    words = [BAD if label == "boat" else GOOD for label in LABELS]
    write_annotations(place / "annotations", SCORES_NL, EMBEDDING_ND, words, unfamiliar=STATES)
    build(place / "annotations", place / "index", NullReporter())
    return place / "index"


def test_the_index_counts_them_and_knows_the_words(gaps: Path) -> None:
    manifest = verify(gaps, NullReporter())
    assert (manifest.judged, manifest.unfamiliar) == (JUDGED, UNFAMILIAR)
    assert manifest.words[LABELS.index("boat")] == BAD


def test_hits_say_whether_they_are_unfamiliar(gaps: Path) -> None:
    with search.open(gaps) as index:
        for hit in index.query("grass|sky", IMAGES) + index.similar(EMBEDDING_ND[3], 20):
            assert hit.unfamiliar is STATES[int(hit.path[:4])]


@pytest.mark.parametrize(
    ("asked", "states"),
    [
        ("unfamiliar:yes", {True}),
        ("unfamiliar:No", {False}),
        ("-unfamiliar:yes", {False, None}),
        ("-unfamiliar:no", {True, None}),
        ("(unfamiliar:yes|unfamiliar:no)", {True, False}),
    ],
)
def test_they_can_be_asked_for_or_left_out(gaps: Path, asked: str, states: set[bool | None]) -> None:
    with search.open(gaps) as index:
        found = {hit.path for hit in index.query(f"boat {asked}", IMAGES)}
        every = {hit.path for hit in index.query("boat", IMAGES)}
    assert found == {path for path in every if STATES[int(path[:4])] in states}
    assert found


def test_another_value_is_an_error(gaps: Path) -> None:
    with search.open(gaps) as index, pytest.raises(QuerySyntaxError, match="followed by yes or no"):
        index.query("boat unfamiliar:maybe")


def test_a_query_with_a_word_known_badly_has_a_note(gaps: Path) -> None:
    note = "'boat' is a word this model knows badly: AP 0.12 on 7 validation photographs"
    with search.open(gaps) as index:
        assert index.parse("grass sky").notes == []
        for text in ("boat", "grass -boat", "grass boat>0.3", "boats", "grass|boat"):
            assert note in index.parse(text).notes, text


def test_the_command_says_it_on_stderr_alone(gaps: Path, invoke: Invoke) -> None:
    result = invoke("search", "boat unfamiliar:yes", "--index", gaps, "--json", "--top", 3)
    hits = [json.loads(line) for line in result.stdout.splitlines()]
    assert [hit["unfamiliar"] for hit in hits] == [True] * 3
    assert "'boat' is a word this model knows badly: AP 0.12" in result.stderr
    assert "unlike" not in result.stderr
    every = invoke("search", "boat", "--index", gaps, "--json", "--top", IMAGES)
    unfamiliar = sum(json.loads(line)["unfamiliar"] is True for line in every.stdout.splitlines())
    count = len(every.stdout.splitlines())
    assert f"{unfamiliar} of {count} are unlike all that the model was trained with" in every.stderr
    lines = invoke("search", "grass unfamiliar:yes", "--index", gaps, "--top", 3).stdout.splitlines()
    assert [line.split("\t")[-1] for line in lines] == ["gone, unfamiliar"] * 3
    table = invoke("search", "boat", "--index", gaps, "--csv", "--top", IMAGES).stdout
    shown = {row["path"]: row["unfamiliar"] for row in csv.DictReader(io.StringIO(table))}
    assert set(shown.values()) == {"true", "false", ""}
    quiet = invoke("search", "boat unfamiliar:yes", "--index", gaps, "--quiet")
    assert quiet.stderr == ""
    calm = invoke("search", "grass unfamiliar:no", "--index", gaps)
    assert "unlike" not in calm.stderr
    assert "badly" not in calm.stderr


def test_a_query_that_fits_nothing_well_says_so(gaps: Path, invoke: Invoke) -> None:
    with search.open(gaps) as index:
        best = index.query(" ".join(LABELS), 1)[0].score
    assert best < 0.1
    unlikely = invoke("search", *LABELS, "--index", gaps)
    assert f"no image is likely to fit this query: the score of the best is {best:.2g}" in unlikely.stderr
    assert unlikely.stdout
    # of later pages that is no news
    for other in (["grass"], [*LABELS, "--offset", 3]):
        assert "likely" not in invoke("search", *other, "--index", gaps).stderr


def test_on_a_terminal_the_table_has_marks_wherever_they_begin(
    gaps: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with search.open(gaps) as index:
        found = index.query("grass|sky", IMAGES)
    calm, marked = (next(hit for hit in found if bool(hit.unfamiliar) is unlike) for unlike in (False, True))
    here = Path(__file__)
    calm = calm._replace(root=str(here.parent), path=here.name)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    # wherever the checkout lies, its path is not broken
    monkeypatch.setenv("COLUMNS", "300")
    for hits in ([calm, marked], [marked, calm], [calm], [marked]):
        render.hits(hits, as_json=False)
        shown = capsys.readouterr().out
        assert ("unfamiliar" in shown) is (marked in hits)
        assert (here.name in shown) is (calm in hits)


def test_labels_are_marked(gaps: Path, toy_index: Path, invoke: Invoke) -> None:
    lines = invoke("labels", "--index", gaps).stdout.splitlines()
    marked = [line for line in lines if "known badly" in line]
    assert len(lines) == len(LABELS)
    assert len(marked) == 1
    assert marked[0].endswith("boat  (known badly: AP 0.12 on 7 validation photographs)")
    found = {
        (line := json.loads(each))["label"]: line
        for each in invoke("labels", "--index", gaps, "--json").stdout.splitlines()
    }
    assert found["boat"]["known_badly"] == "AP 0.12 on 7 validation photographs"
    assert found["grass"]["known_badly"] is None
    assert {"train_yes": 90, "train_no": 400, "val_yes": 20, "val_no": 80, "ap": 0.8}.items() <= found["grass"].items()
    plain = json.loads(invoke("labels", "grass", "--index", toy_index, "--json").stdout)
    assert set(plain) == {"label", "images"}


def test_doctor_says_how_many_there_are(gaps: Path, toy_index: Path, invoke: Invoke) -> None:
    said = json.loads(invoke("doctor", "--index", gaps, "--json").stdout)["index"]
    assert f"{UNFAMILIAR} of {JUDGED} images unlike all that it was trained with" in said
    assert f"1 of {len(LABELS)} words known badly" in said
    plain = json.loads(invoke("doctor", "--index", toy_index, "--json").stdout)["index"]
    assert "unlike" not in plain
    assert "badly" not in plain


def test_an_index_is_brought_up_to_date_when_the_words_change(tmp_path: Path) -> None:
    folder = write_annotations(tmp_path / "annotations", SCORES_NL, EMBEDDING_ND)
    build(folder, tmp_path / "index", NullReporter())
    rewrite_json(folder / "_manifest.json", words=[msgspec.to_builtins(BAD)] * len(LABELS))
    assert build(folder, tmp_path / "index", NullReporter()).words == [BAD] * len(LABELS)


def test_a_wrong_count_is_found(gaps: Path, tmp_path: Path) -> None:
    shutil.copytree(gaps, tmp_path / "index")
    manifest = manifests.read(gaps)
    manifests.write(tmp_path / "index", msgspec.structs.replace(manifest, unfamiliar=manifest.unfamiliar + 1))
    with pytest.raises(IntegrityError, match="unfamiliar images are not counted"):
        verify(tmp_path / "index", NullReporter())
