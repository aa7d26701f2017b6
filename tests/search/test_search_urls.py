"""Images that lay behind URLs: found by URL, and printed as one."""

from pathlib import Path

import pytest
from conftest import Invoke
from search.toy_index import EMBEDDING_ND, IMAGES, SCORES_NL, ids_of, write_annotations

import aaam_pipeline.search as search
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.index.build import build


@pytest.fixture(scope="module")
def web_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("web")
    write_annotations(folder / "annotations", SCORES_NL, EMBEDDING_ND, root=["https://photos.test"] * IMAGES)
    build(folder / "annotations", folder / "index", NullReporter())
    return folder / "index"


def test_a_hit_says_its_url(web_index: Path) -> None:
    with search.open(web_index) as index:
        hit = index.query("grass", top=1)[0]
    assert hit.location == f"https://photos.test/{hit.path}"


def test_an_image_of_the_index_is_known_by_its_url(web_index: Path) -> None:
    with search.open(web_index) as index:
        hits = index.similar("https://photos.test/0017.jpg", top=10)
        assert ids_of(hits) == ids_of(index.similar(EMBEDDING_ND[17], top=11))[1:]
        with pytest.raises(UsageError, match="no photograph https://photos"):
            index.similar("https://photos.test/gone.jpg")


@pytest.mark.parametrize("form", [(), ("--paths",)])
def test_urls_are_printed_whole(form: tuple[str, ...], web_index: Path, invoke: Invoke) -> None:
    result = invoke("search", "grass", "--index", web_index, "--top", 3, *form)
    assert result.stdout.count("https://photos.test/0") == 3
