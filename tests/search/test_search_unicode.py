"""Names on disk and words that are typed, each in NFC and in NFD."""

from collections.abc import Iterator
from unicodedata import normalize

import numpy as np
import pytest
from search.toy_index import DIM, LABELS, write_annotations

import aaam_pipeline.search as search
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.index.build import build

NAMES = [normalize(form, f"Köln/Bär {form}.jpg") for form in ("NFC", "NFD")]
TWINS = [normalize(form, "Vögel.jpg") for form in ("NFC", "NFD")]
PATHS = [*NAMES, *TWINS, "plain.jpg"]


@pytest.fixture(scope="module", params=["NFC", "NFD"])
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[search.Index]:
    place = tmp_path_factory.mktemp("unicode")
    scores_NL = np.full((len(PATHS), len(LABELS)), 0.9, np.float16)
    embedding_ND = np.random.default_rng(0).normal(size=(len(PATHS), DIM)).astype(np.float16)
    root = normalize(request.param, "/Räume/Fotos")
    build(
        write_annotations(place / "annotations", scores_NL, embedding_ND, path=PATHS, root=[root] * len(PATHS)),
        place / "index",
        NullReporter(),
    )
    with search.open(place / "index") as opened:
        yield opened


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_filter_finds_names_however_they_are_written(form: str, opened: search.Index) -> None:
    def found(text: str) -> list[str]:
        return sorted(hit.path for hit in opened.query(normalize(form, text)))

    assert found("path:*Köln*") == found("path:K?ln/B*") == sorted(NAMES)
    assert found("path:Vögel.jpg") == sorted(TWINS)
    assert found("path:*köln*") == []
    assert found('root:"*/Räume/*"') == sorted(PATHS)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_photograph_is_found_however_its_name_is_written(form: str, opened: search.Index) -> None:
    for path in PATHS:
        photo = normalize(form, f"/Räume/Fotos/{path}")
        hits = [hit.path for hit in opened.similar(photo)]
        assert len(hits) == len(PATHS) - 1
        # of twins, the one that is written like it
        own = path if path not in TWINS else normalize(form, path)
        assert own not in hits
    with pytest.raises(UsageError, match="no photograph"):
        opened.similar(normalize(form, "/räume/Fotos/plain.jpg"))
