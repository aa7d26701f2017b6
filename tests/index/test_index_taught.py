"""Words that a person taught are columns of an index: computed from its vectors, kept by a rebuild, searched."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from search.toy_index import DIM, EMBEDDING_ND, IMAGES, LABELS, SCORES_NL, ids_of, write_annotations

import aaam_pipeline.search as search
from aaam_pipeline.core.errors import AaamError, IntegrityError, UnknownLabelError
from aaam_pipeline.core.locks import exclusive
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.formats import ranking, taught
from aaam_pipeline.formats.taught import TaughtLine, TaughtWord
from aaam_pipeline.index import manifest as manifests
from aaam_pipeline.index import taught as columns
from aaam_pipeline.index import vector_builders
from aaam_pipeline.index.build import build
from aaam_pipeline.index.verify import verify

REPORT = NullReporter()


def line(
    label: str, seed: int = 5, embedding: str = "toy", threshold: float = 0.6, ap: float = 0.8, high: float = 0.9
) -> TaughtLine:
    word = TaughtWord(label, embedding, ["a" * 64] * 12, [], threshold, ap, 0.1, high, IMAGES, "2026-11-29", "lda")
    return TaughtLine(word, 4 * np.random.default_rng(seed).normal(size=DIM).astype(np.float32), -0.5)


@pytest.fixture
def index(tmp_path: Path) -> Path:
    write_annotations(tmp_path / "annotations", SCORES_NL, EMBEDDING_ND)
    build(tmp_path / "annotations", tmp_path / "index", REPORT)
    return tmp_path / "index"


def expected(word: TaughtLine) -> tuple[list[int], np.ndarray]:
    scores_N = taught.scores([word], np.asarray(EMBEDDING_ND, np.float32))[:, 0]
    return np.argsort(-scores_N, kind="stable").tolist(), scores_N


def test_a_taught_word_is_searched_listed_and_assigned(index: Path) -> None:
    dog, order_scores = line("my dog"), expected(line("my dog"))
    manifest = columns.renew(index, [dog, line("cup", 6, ap=0.1, high=0.2), line("jar", 7, ap=0.1)])
    verify(index, REPORT)
    order, scores_N = order_scores
    assert manifest.labels == [*LABELS, "my dog", "cup", "jar"]
    assert abs(manifest.taught[0].images - (scores_N >= 0.6).sum()) <= 1
    with search.open(index) as opened:
        hits = opened.query('"my dog"', 20)
        assert ids_of(hits)[:5] == order[:5]
        np.testing.assert_allclose([hit.score for hit in hits], scores_N[order[:20]], rtol=5e-3)
        assert all(("my dog" in hit.labels) == (hit.score >= 0.6) for hit in opened.query("my dog", 400))
        both = opened.query("my dog grass", 1)[0]
        assert both.score == pytest.approx(both.label_scores["my dog"] * both.label_scores["grass"])
        assert opened.parse("cup").notes == [
            "'cup' is a word this model knows badly: taught by you from 12 photographs, AP 0.10 (0.10 to 0.20)"
        ]
        # the AP of a taught word is an estimate: its upper end decides
        assert opened.parse("jar").notes == []
        # an index that is opened answers as before, whatever becomes of its folder
        columns.renew(index, [])
        assert opened.query("my dog", 20) == hits
    with search.open(index) as opened, pytest.raises(UnknownLabelError):
        opened.query("my dog")
    assert not (index / manifests.TAUGHT).exists()


def test_a_rebuilt_index_has_the_words_and_one_that_is_current_gets_new_ones(index: Path) -> None:
    annotations, dog = index.with_name("annotations"), line("my dog")
    before = (index / manifests.VECTORS).stat().st_ino
    renewed = build(annotations, index, REPORT, words=[dog])
    assert [column.label for column in renewed.taught] == ["my dog"]
    # nothing else was built
    assert (index / manifests.VECTORS).stat().st_ino == before
    assert build(annotations, index, REPORT, words=[dog]) == renewed
    assert build(annotations, index.with_name("other"), REPORT, words=[dog]).taught == renewed.taught
    content = (index / manifests.TAUGHT).read_bytes()
    assert (index.with_name("other") / manifests.TAUGHT).read_bytes() == content
    assert build(annotations, index, REPORT).taught == []


def test_words_of_another_embedding_and_of_the_model_have_no_column(index: Path) -> None:
    lines = [line("old", embedding="ffffffff"), line("Grass"), line("new")]
    manifest = columns.renew(index, lines)
    assert [column.label for column in manifest.taught] == ["new"]
    said = columns.left_out(lines, "toy", LABELS)
    assert "the model knows it, too" in said[0]
    assert "another model: 'old'" in said[1]


@pytest.mark.parametrize("codec", ["fp16", "sq8"])
def test_columns_of_lists_are_those_of_all_vectors(index: Path, monkeypatch: pytest.MonkeyPatch, codec: str) -> None:
    monkeypatch.setattr(vector_builders, "FLAT_IMAGES", 10)
    monkeypatch.setattr(vector_builders, "choose_codec", lambda *_: codec)
    other = index.with_name("lists")
    manifest = build(index.with_name("annotations"), other, REPORT, words=[line("my dog")])
    assert (manifest.vectors.kind, manifest.vectors.codec) == ("ivf", codec)
    codes_N = np.fromfile(other / manifests.TAUGHT, "<u2")
    scores_N = expected(line("my dog"))[1]
    np.testing.assert_allclose(ranking.decode(codes_N), scores_N, atol=0.002 if codec == "fp16" else 0.03)


def test_a_damaged_column_is_said_and_never_searched(index: Path) -> None:
    columns.renew(index, [line("my dog")])
    path = index / manifests.TAUGHT
    content = bytearray(path.read_bytes())
    content[7] ^= 1
    path.write_bytes(content)
    with search.open(index) as opened, pytest.raises(IntegrityError, match="damaged"):
        opened.query("my dog")
    with pytest.raises(IntegrityError):
        verify(index, REPORT)
    path.write_bytes(content[:-2])
    with pytest.raises(IntegrityError, match="damaged"):
        search.open(index)


def test_a_full_disk_and_another_writer_leave_the_index_as_it_was(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = (index / "manifest.json").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(AaamError, match="No space"):
            columns.renew(index, [line("my dog")])
    with exclusive(index), pytest.raises(AaamError, match="another process"):
        columns.renew(index, [line("my dog")])
    assert (index / "manifest.json").read_bytes() == before
    assert [path.name for path in index.parent.iterdir() if path.name.startswith("index")] == ["index"]
    # a disk without hard links
    monkeypatch.setattr(os, "link", full)
    assert columns.renew(index, [line("my dog")]).labels[-1] == "my dog"
    verify(index, REPORT)
