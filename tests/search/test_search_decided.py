"""Decisions win in search: how decided images rank, beside a model's word that stays as it is."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import duckdb
import msgspec
import numpy as np
import pytest
from search.deciding import THESAURUS, decide, digest
from search.toy_index import EMBEDDING_ND, IMAGES, LABELS, SCORES_NL, ids_of

import aaam_pipeline.search as search
from aaam_pipeline.core.errors import AaamError, UnknownLabelError
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.formats import decisions, ranking
from aaam_pipeline.formats.decisions import Decision, Inheritance
from aaam_pipeline.index import manifest as manifests
from aaam_pipeline.index.build import build
from aaam_pipeline.index.verify import verify
from aaam_pipeline.search import Index

PROBABILITIES_NL = ranking.decode(ranking.encode(SCORES_NL))


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "decisions.jsonl"


@pytest.fixture
def opened(contents_index: Path, ledger: Path) -> Iterator[search.Index]:
    with search.open(contents_index, thesaurus=THESAURUS, decisions=ledger) as index:
        yield index


def test_a_yes_ranks_first_in_the_order_of_the_model_and_a_no_never_appears(opened: Index, ledger: Path) -> None:
    before = ids_of(opened.query("boat", IMAGES))
    unlikely, likely = before[-9:], before[:9]
    decide(ledger, "boat", tuple(unlikely), tuple(likely))
    hits = opened.query("boat", IMAGES)
    assert ids_of(hits) == unlikely + before[9:-9]
    assert [hit.score for hit in hits[:9]] == [1.0] * 9
    assert all(hit.label_scores == {"boat": 1.0} and "boat" in hit.labels for hit in hits[:9])
    for top in (1, 4, 9, 12, 30):
        assert opened.query("boat", top) == hits[:top]
    # what it is not looks for
    opposite = ids_of(opened.query("-boat", IMAGES))
    assert set(likely) <= set(opposite[: IMAGES // 2])
    assert not set(unlikely) & set(opposite)


def test_a_decision_acts_on_the_next_query_and_is_taken_back(opened: Index, ledger: Path) -> None:
    before = opened.query("boat", 20)
    decide(ledger, "boat", no=(ids_of(before)[0],))
    assert opened.query("boat", 19) == before[1:]
    ledger.unlink()
    assert opened.query("boat", 20) == before


def test_the_model_s_word_alone(contents_index: Path, opened: Index, ledger: Path) -> None:
    before = opened.query("boat -path:049?.jpg", 20)
    decide(ledger, "boat", no=tuple(ids_of(before)))
    with search.open(contents_index, decisions=False) as index:
        assert index.query("boat -path:049?.jpg", 20) == before
        assert not index.decisions
    assert not set(ids_of(before)) & set(ids_of(opened.query("boat", IMAGES)))


def test_the_ledger_beside_the_index_is_the_default(contents_index: Path, tmp_path: Path, ledger: Path) -> None:
    shutil.copytree(contents_index, tmp_path / "index")
    decide(ledger, "boat", yes=(3,))
    with search.open(tmp_path / "index") as index:
        assert ids_of(index.query("boat", 1)) == [3]
    # by no name but that: nothing is written into the index
    before = sorted(path.name for path in (tmp_path / "index").iterdir())
    assert before == sorted(path.name for path in contents_index.iterdir())
    verify(tmp_path / "index", NullReporter())


def test_all_images_of_a_content_are_decided_and_those_without_a_digest_are_not(opened: Index, ledger: Path) -> None:
    decide(ledger, "never", yes=(8,))
    assert ids_of(opened.query("never", 9)) == [7, 8]
    # heir of both
    with ledger.open("ab") as stream:
        stream.write(decisions.encode(Inheritance(sha256=digest(30), same_as=digest(8))))
    assert ids_of(opened.query("never", 9)) == [7, 8, 30]


def test_an_or_loses_only_the_operand(opened: Index, ledger: Path) -> None:
    decide(ledger, "boat", no=tuple(range(100)))
    found = {hit.path: hit.score for hit in opened.query("boat|grass", IMAGES)}
    for id in range(100):
        grass = PROBABILITIES_NL[id, 0]
        assert found.get(f"{id:04d}.jpg", 0) == pytest.approx(grass if grass >= ranking.LEAST else 0)


def test_a_parent_and_a_synonym_have_the_decisions_of_their_labels(opened: Index, ledger: Path) -> None:
    decide(ledger, "Sky", yes=(11,))
    decide(ledger, "person", yes=(12,))
    assert opened.query("outside", 1)[0].score == 1
    assert 11 in ids_of(opened.query("outside", IMAGES))
    assert ids_of(opened.query("human", 1)) == [12] == ids_of(opened.query("PEOPLE", 1))


def test_a_word_that_no_model_knows(opened: Index, ledger: Path) -> None:
    with pytest.raises(UnknownLabelError):
        opened.query("grandma")
    decide(ledger, "Grandma", yes=(5, 6, 490), no=(9,))
    hits = opened.query("grandma", 20)
    assert ids_of(hits) == [5, 6, 490]
    assert [hit.labels[-1] for hit in hits] == ["Grandma"] * 3
    assert opened.labels("grandma") == ["Grandma"]
    assert "Grandma" in opened.vocabulary
    assert opened.parse("grandma").notes == [
        "no model knows 'Grandma': it holds for the 3 images that it was decided for, and no other"
    ]
    for id in (5, 6, 490):
        scores = {id: hit.score for hit in opened.query("grandma boat", 20) for id in ids_of([hit])}
        assert scores[id] == pytest.approx(PROBABILITIES_NL[id, 4])
    assert set(ids_of(opened.query("-grandma", IMAGES))) == set(range(IMAGES)) - {5, 6, 490}
    assert ids_of(opened.query("grandma>0.5", 20)) == [5, 6, 490]
    assert len(opened.query("grandma<0.5", IMAGES)) == IMAGES - 3
    assert ids_of(opened.query("boat|grandma", 3)) == sorted((5, 6, 490), key=lambda id: -SCORES_NL[id, 4])
    with pytest.raises(UnknownLabelError, match="did you mean Grandma"):
        opened.query("grandmo")


def test_a_word_that_was_searched_as_others_is_still_where_nothing_was_decided(opened: Index, ledger: Path) -> None:
    before = ids_of(opened.query("outside", IMAGES))
    filtered = ids_of(opened.query("outside>=0.9", IMAGES))
    decide(ledger, "outside", yes=(before[-1],), no=(before[0],))
    hits = opened.query("outside", IMAGES)
    assert ids_of(hits) == [before[-1], *before[1:-1]]
    assert list(hits[0].label_scores) == ["outside", "grass", "sky"]
    assert set(ids_of(opened.query("outside>=0.9", IMAGES))) == ({*filtered} | {before[-1]}) - {before[0]}
    assert "searched as grass|sky" in opened.parse("outside").notes[0]


def test_filters_on_scores(opened: Index, ledger: Path) -> None:
    held = ids_of(opened.query("boat>0.8", IMAGES))
    others = [id for id in range(IMAGES - 5) if id not in held and id not in (7, 8)]
    decide(ledger, "boat", yes=tuple(others[:3]), no=tuple(held[:3]))
    now = set(ids_of(opened.query("boat>0.8", IMAGES)))
    assert now == ({*held} | {*others[:3]}) - {*held[:3]}
    assert set(ids_of(opened.query("boat<=0.8", IMAGES))) == set(range(IMAGES)) - now


def test_hits_and_explanations_say_what_was_decided(opened: Index, ledger: Path) -> None:
    decide(ledger, "grass", yes=(3,))
    decide(ledger, "sky", no=(3,), by="file", source="xmp")
    decide(ledger, "zebra", yes=(3,))
    ((hit, terms),) = opened.explain("grass -sky", 1)
    assert ids_of([hit]) == [3]
    assert [(term.query, term.score) for term in terms] == [("grass", 1.0), ("-sky", 1.0)]
    assert hit.label_scores == {"grass": 1.0, "sky": 0.0}
    assert {label: (each.value, each.by) for label, each in hit.decided.items()} == {
        "grass": ("yes", "person"), "sky": ("no", "file"), "zebra": ("yes", "person")
    }  # fmt: skip
    assert {"grass", "zebra"} <= set(hit.labels)
    assert "sky" not in hit.labels
    (near,) = [each for each in opened.similar(EMBEDDING_ND[3], 1) if ids_of([each]) == [3]]
    assert near.labels == hit.labels
    fitting = opened.similar(EMBEDDING_ND[0], 3, query="zebra")
    assert ids_of(fitting) in ([3], [])


def test_counts_are_of_decided_labels(opened: Index, ledger: Path, contents_index: Path) -> None:
    manifest = manifests.read(contents_index)
    assert {label: count.images for label, count in opened.label_counts().items()} == dict(
        zip(LABELS, manifest.label_counts, strict=True)
    )
    assigned = np.flatnonzero(SCORES_NL[:, 4] >= 0.5)
    others = np.setdiff1d(np.arange(20, IMAGES - 5), assigned)
    assigned = assigned[(assigned > 20) & (assigned < IMAGES - 5)]
    decide(ledger, "boat", yes=(*others[:4], *assigned[:2]), no=(*assigned[2:5], others[9]))
    decide(ledger, "grandma", yes=(7, 25))
    counts = opened.label_counts()
    assert counts["boat"] == (manifest.label_counts[4] + 4 - 3, 6, 4)
    assert counts["grandma"] == (3, 3, 0)
    assert counts["grass"] == (manifest.label_counts[0], 0, 0)


def test_an_older_index_takes_decisions(contents_index: Path, tmp_path: Path, ledger: Path) -> None:
    out = tmp_path / "older"
    shutil.copytree(contents_index, out)
    with duckdb.connect(str(out / manifests.SCORES)) as database:
        database.execute("DROP INDEX images_id; ALTER TABLE images DROP digest")
    manifests.write(out, msgspec.structs.replace(manifests.read(contents_index), schema_version=6))
    decide(ledger, "boat", yes=(3, 490), no=(4,))
    with search.open(out, decisions=ledger) as old, search.open(contents_index, decisions=ledger) as new:
        assert old.query("boat", 50) == new.query("boat", 50)
        assert {3, 490} == {*ids_of(old.query("boat", 2))}


def test_a_rebuilt_index_has_the_decisions(contents_index: Path, tmp_path: Path, ledger: Path) -> None:
    (annotations,) = manifests.read(contents_index).annotations
    decide(ledger, "boat", yes=(3,), no=(4,))
    shutil.copytree(contents_index, tmp_path / "index")
    before = (tmp_path / "index" / "manifest.json").read_bytes()
    build(Path(annotations), tmp_path / "index", NullReporter())
    # decisions are no part of an index: with new ones it is up to date
    assert (tmp_path / "index" / "manifest.json").read_bytes() == before
    shutil.copytree(annotations, tmp_path / "more")
    build([Path(annotations), tmp_path / "more"], tmp_path / "index", NullReporter())
    with search.open(tmp_path / "index") as index:
        assert ids_of(index.query("boat", 1)) == [3]
        assert 4 not in ids_of(index.query("boat", IMAGES))


def test_damaged_lines_hide_no_other(opened: Index, ledger: Path) -> None:
    decide(ledger, "boat", yes=(3,))
    with ledger.open("ab") as stream:
        stream.write(b"nonsense\n")
    decide(ledger, "grass", yes=(3,))
    with ledger.open("ab") as stream:
        stream.write(b'{"sha256": "ab')
    assert ids_of(opened.query("boat grass", 1)) == [3]
    (remark,) = opened.decisions.remarks()
    assert "2 lines" in remark
    assert "line 2" in remark


def test_an_unreadable_ledger_is_no_search_without_decisions(opened: Index, ledger: Path) -> None:
    ledger.mkdir()
    with pytest.raises(AaamError, match=r"cannot read the decisions .*decisions\.jsonl: Is a directory"):
        opened.query("boat")
    ledger.rmdir()
    assert opened.query("boat")


def test_a_query_that_was_parsed_before_names_the_same_words(opened: Index, ledger: Path) -> None:
    decide(ledger, "zebra", yes=(3,))
    zebra = opened.parse("zebra")
    decide(ledger, "aunt", yes=(4,))
    aunt = opened.parse("aunt")
    ledger.unlink()
    decide(ledger, "aunt", yes=(5,))
    assert ids_of(opened.query(aunt)) == [5]
    assert opened.query(zebra) == []


def test_threads_see_whole_states_of_a_growing_ledger(opened: Index, ledger: Path) -> None:
    before = len(opened.query("boat", IMAGES))
    wrong: list[str] = []

    def ask() -> None:
        for _ in range(30):
            hits = opened.query("boat", 60)
            yes = [hit for hit in hits if "boat" in hit.decided]
            if hits[: len(yes)] != yes or any(hit.score != 1 for hit in yes):
                wrong.append("a decided image is not first")

    threads = [Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for id in range(20, 60):
        decide(ledger, "boat", yes=(id,))
    for thread in threads:
        thread.join()
    assert not wrong
    assert before <= len(opened.query("boat", IMAGES)) <= before + 40
    assert {*ids_of(opened.query("boat", 40))} == {*range(20, 60)}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_takes_new_decisions(contents_index: Path, ledger: Path) -> None:
    decide(ledger, "boat", yes=(3,))
    line = decisions.encode(Decision(sha256=digest(4), label="never", value="yes", by="person")).decode()
    program = (
        "import os, sys\nimport aaam_pipeline.search as search\n"
        f"index = search.open({str(contents_index)!r}, decisions={str(ledger)!r})\n"
        "index.query('boat'); child = os.fork()\n"
        f"if not child:\n    open({str(ledger)!r}, 'a').write({line!r})\n"
        "    print(index.query('never')[0].path, flush=True); os._exit(0)\n"
        "os.waitpid(child, 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("0004.jpg\n", 0), done.stderr
