"""What curation reads of an index: the columns of the model and of the person, whatever the index is made of."""

from pathlib import Path

import numpy as np
import pytest
from search.toy_index import DIM, EMBEDDING_ND, IMAGES, LABELS, SCORES_NL, write_annotations

import aaam_pipeline.search as search
from aaam_pipeline.cli.library import IndexedLibrary
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.curation.library import NO_DIGEST, Library
from aaam_pipeline.curation.review import review
from aaam_pipeline.formats.decisions import Decision, resolve
from aaam_pipeline.formats.taught import TaughtLine, TaughtWord
from aaam_pipeline.index import taught
from aaam_pipeline.index.build import build

HASHES = [f"{row + 1:064x}" for row in range(IMAGES)]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy index, its photographs with hashes but for the first, with one taught word."""
    folder = tmp_path_factory.mktemp("library")
    hashes = [None, *HASHES[1:]]
    build(
        write_annotations(folder / "annotations", SCORES_NL, EMBEDDING_ND, sha256=hashes),
        folder / "index",
        NullReporter(),
    )
    word = TaughtWord("my dog", "toy", ["a" * 64] * 12, [], 0.6, 0.8, 0.7, 0.9, IMAGES, "2026-11-29", "lda")
    line = TaughtLine(word, 4 * np.random.default_rng(5).normal(size=DIM).astype(np.float32), -0.5)
    taught.renew(folder / "index", [line])
    return folder / "index"


def test_it_has_the_scores_and_the_labels_of_the_index(index: Path) -> None:
    with search.open(index) as opened:
        library: Library = IndexedLibrary(opened)
        assert library.labels == [*LABELS, "my dog"]
        assert library.digest_N[1].ljust(32, b"\0").hex() == HASHES[1]
        assert library.digest_N[0] == NO_DIGEST.rstrip(b"\0")
        for column in range(len(LABELS)):
            np.testing.assert_allclose(library.scores(column), SCORES_NL[:, column], atol=1e-3)
            np.testing.assert_array_equal(library.assigned(column), SCORES_NL[:, column] >= 0.5)
        shown = {hit.path for hit in opened.query("my dog", IMAGES) if "my dog" in hit.labels}
        rows = np.flatnonzero(library.assigned(len(LABELS)))
        assert {f"{row:04d}.jpg" for row in rows} == shown
        assert library.scores(len(LABELS))[rows].min() >= 0.59
        assert [hit.path for hit in IndexedLibrary(opened).hits([7, 3])] == ["0007.jpg", "0003.jpg"]


def test_a_taught_word_is_reviewed_and_photographs_without_a_hash_are(index: Path) -> None:
    with search.open(index) as opened:
        library = IndexedLibrary(opened)
        said = resolve(
            Decision(sha256=sha256, label="My Dog", value="no", by="person") for sha256 in HASHES[: IMAGES // 2]
        )
        found = review(library, said, NullReporter(), labels=["my dog"], top=IMAGES)
        # nothing can be decided of a photograph whose content is not known: it is asked about
        assert {item.row for item in found} == {0, *range(IMAGES // 2, IMAGES)}
        assert library.sha256(0) is None
