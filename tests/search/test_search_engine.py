import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import make_photo
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import aaam_pipeline.search as search
from aaam_pipeline.annotate import runner, sources
from aaam_pipeline.core import ranking, schema
from aaam_pipeline.core.artifacts import fingerprint, write_json
from aaam_pipeline.core.errors import IntegrityError, UnknownLabelError, UsageError
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.index import manifest as manifests
from aaam_pipeline.index.build import build
from aaam_pipeline.search import Index

LABELS = ["grass", "sky", "traffic light", "person", "boat", "never"]
IMAGES, DIM = 500, 8


def write_annotations(folder: Path, scores_NL: NDArray[np.float16], embedding_ND: NDArray[np.float16]) -> Path:
    """Write an annotations folder by hand, as the contract says and without a model."""
    count = len(scores_NL)
    shape = schema.annotations(len(LABELS), DIM)
    assigned = [[label for label, score in zip(LABELS, row, strict=True) if score >= 0.5] for row in scores_NL]
    columns = {
        "path": [f"{number:04d}.jpg" for number in range(count)],
        "root": ["/photos"] * count,
        "status": ["ok"] * count,
        "model_id": ["toy"] * count,
        "labels": assigned,
        "scores": schema.fixed_list(scores_NL),
        "embedding": schema.fixed_list(embedding_ND),
    }
    arrays = [pa.array(columns.get(field.name, [None] * count), field.type) for field in shape]
    folder.mkdir()
    pq.write_table(pa.Table.from_arrays(arrays, schema=shape), folder / "part-00000.parquet")
    manifest = schema.AnnotationsManifest(
        schema_version=schema.VERSION,
        model_id="toy",
        model_path="/models/toy",
        vocabulary=LABELS,
        vocabulary_hash=fingerprint(LABELS),
        thresholds=[0.5] * len(LABELS),
        embedding_dim=DIM,
        settings={},
        settings_hash="",
        roots=["/photos"],
        inputs=count,
        inputs_hash="",
        parts=1,
        successes=count,
    )
    write_json(folder / "manifest.json", manifest)
    return folder


def random_scores() -> NDArray[np.float16]:
    """Scores with many ties: few different values, whole runs of equal rows, a label that no image holds."""
    chance = np.random.default_rng(0)
    scores_NL = chance.choice([0.0, 0.001, 0.2, 0.5, 0.501, 0.9, 1.0], (IMAGES, len(LABELS)))
    scores_NL[100:160] = scores_NL[100]
    scores_NL[:, LABELS.index("never")] = 0
    scores_NL[:, LABELS.index("boat")] = chance.random(IMAGES)
    return scores_NL.astype(np.float16)


SCORES_NL = random_scores()
CODES_NL = ranking.encode(SCORES_NL)
EMBEDDING_ND = np.random.default_rng(1).normal(size=(IMAGES, DIM)).astype(np.float16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("synthetic")
    build(write_annotations(place / "annotations", SCORES_NL, EMBEDDING_ND), place / "index", NullReporter())
    return place / "index"


@pytest.fixture(scope="module")
def index(folder: Path) -> Iterator[Index]:
    with search.open(folder) as opened:
        yield opened


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(folder, tmp_path / "index")
    return tmp_path / "index"


def expected(ids: list[int], top: int) -> list[tuple[int, float]]:
    """Rank with NumPy: the best first, ties by id, and no image that lacks a label altogether."""
    codes_NQ = CODES_NL[:, ids]
    score_N = ranking.conjunction(codes_NQ)
    return [(int(id), score_N[id]) for id in ranking.rank(codes_NQ, IMAGES) if score_N[id] > 0][:top]


def ids_of(hits: list[search.Hit]) -> list[int]:
    return [int(hit.path[:4]) for hit in hits]


def texts(ids: list[int]) -> str:
    return " ".join(f'"{LABELS[id]}"' for id in ids)


@pytest.mark.parametrize("ids", [ids for count in (1, 2, 3) for ids in itertools.permutations(range(6), count)])
def test_a_query_ranks_as_numpy_does(ids: tuple[int, ...], index: Index) -> None:
    for top in (1, 20, IMAGES + 5):
        hits = index.query(texts(list(ids)), top)
        oracle = expected(list(ids), top)
        assert ids_of(hits) == [id for id, _ in oracle]
        np.testing.assert_allclose([hit.score for hit in hits], [score for _, score in oracle], rtol=1e-9)


@settings(max_examples=60, deadline=None)
@given(ids=st.lists(st.integers(0, 4), min_size=1, max_size=5), top=st.integers(1, 60), more=st.integers(1, 60))
def test_a_shorter_answer_is_the_beginning_of_a_longer_one(ids: list[int], top: int, more: int, index: Index) -> None:
    assert index.query(texts(ids), top) == index.query(texts(ids), top + more)[:top]


def test_a_label_named_twice_counts_once(index: Index) -> None:
    assert index.query("boat boat BOAT", 30) == index.query("boat", 30)


def test_quotes_and_case_do_not_matter(index: Index) -> None:
    assert index.query('person "Traffic LIGHT"', 30) == index.query("PERSON traffic light", 30)


def test_a_hit_tells_where_the_image_lies_and_what_it_holds(index: Index) -> None:
    (hit,) = index.query("traffic light boat", top=1)
    ((id, score),) = expected([2, 4], 1)
    assert (hit.path, hit.root, hit.file) == (f"{id:04d}.jpg", "/photos", Path(f"/photos/{id:04d}.jpg"))
    assert hit.score == pytest.approx(score)
    assert hit.label_scores == {"traffic light": CODES_NL[id, 2] / 255, "boat": CODES_NL[id, 4] / 255}
    assert hit.labels == [label for label, value in zip(LABELS, SCORES_NL[id], strict=True) if value >= 0.5]


def test_images_without_a_label_are_not_hits(index: Index) -> None:
    assert index.query("never") == []
    assert index.query("never grass") == []
    assert len(index.query("sky", IMAGES)) == (CODES_NL[:, 1] > 0).sum() < IMAGES


@pytest.mark.parametrize("top", [0, -1])
def test_top_must_be_positive(top: int, index: Index) -> None:
    with pytest.raises(UsageError, match="top must be at least 1"):
        index.query("grass", top)
    with pytest.raises(UsageError, match="top must be at least 1"):
        index.similar(EMBEDDING_ND[0], top)


@pytest.mark.parametrize(
    "text",
    [
        "s0",
        "grass; DROP TABLE images; --",
        "grass' OR '1'='1",
        "grass) UNION SELECT 1 --",
        "%",
        "_",
        "🚲🚲",
        "{0}",
        "?",
        "$1",
        "\x00",
        "x" * 10_000,
        "';'" * 3000,
    ],
)
def test_a_hostile_text_is_only_an_unknown_word(text: str, index: Index, folder: Path) -> None:
    before = (folder / manifests.SCORES).read_bytes()
    with pytest.raises(UnknownLabelError):
        index.query(text)
    assert (folder / manifests.SCORES).read_bytes() == before
    assert len(index.query("boat", 5)) == 5


def test_a_folder_may_have_any_name(folder: Path, tmp_path: Path) -> None:
    for name in ("it's; DROP TABLE images; --", 'a "b" %s {x} ?', "Köln 🚲"):
        shutil.copytree(folder, tmp_path / name)
        with search.open(tmp_path / name) as index:
            assert len(index.query("boat", 5)) == len(index.similar(EMBEDDING_ND[0], 5)) == 5


def test_similar_finds_the_vectors_nearest_by_cosine(index: Index) -> None:
    wide = EMBEDDING_ND.astype(np.float64)
    unit = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    for id in (0, 17, 499):
        cosine = unit @ unit[id]
        hits = index.similar(EMBEDDING_ND[id] * 3, top=10)
        assert ids_of(hits)[0] == id
        np.testing.assert_allclose([hit.score for hit in hits], np.sort(cosine)[::-1][:10], atol=2e-3)
        np.testing.assert_allclose([hit.score for hit in hits], cosine[ids_of(hits)], atol=2e-3)


def test_a_photograph_of_the_index_finds_others_and_not_itself(index: Index) -> None:
    hits = index.similar("/photos/0017.jpg", top=10)
    assert len(hits) == 10
    assert 17 not in ids_of(hits)
    assert ids_of(hits) == ids_of(index.similar(EMBEDDING_ND[17], top=11))[1:]


@pytest.mark.parametrize("name", ["/photos/../photos/0017.jpg", "/photos/./0017.jpg", "/../photos//0017.jpg"])
def test_a_photograph_is_known_by_any_spelling_of_its_path(name: str, index: Index) -> None:
    assert index.similar(name, top=5) == index.similar(Path("/photos/0017.jpg"), top=5)


def test_more_than_there_are_gives_all_and_never_an_image_that_is_none(index: Index) -> None:
    assert sorted(ids_of(index.similar(EMBEDDING_ND[3], top=10 * IMAGES))) == list(range(IMAGES))
    assert sorted(ids_of(index.similar("/photos/0003.jpg", top=10 * IMAGES))) == [i for i in range(IMAGES) if i != 3]


def test_a_zero_vector_is_like_nothing_and_no_error(index: Index) -> None:
    assert {hit.score for hit in index.similar(np.zeros(DIM), top=5)} == {0.0}


@pytest.mark.parametrize("shape", [(), (DIM - 1,), (1, DIM), (DIM, 1)])
def test_a_vector_of_another_shape_is_a_usage_error(shape: tuple[int, ...], index: Index) -> None:
    with pytest.raises(UsageError, match=r"a vector must have shape \(8,\)"):
        index.similar(np.ones(shape))


def test_a_photograph_outside_is_embedded(folder: Path, tmp_path: Path) -> None:
    asked: list[Path] = []

    def embed(photo: Path) -> tuple[str, NDArray[np.float32]]:
        asked.append(photo)
        return "toy", EMBEDDING_ND[42].astype(np.float32)

    photo = make_photo(tmp_path / "new.jpg", 1)
    with search.open(folder, embed) as index:
        hits = index.similar(photo, top=7)
        assert asked == [photo]
        assert ids_of(hits) == ids_of(index.similar(EMBEDDING_ND[42], top=7))
        # one that the index holds needs no model
        index.similar("/photos/0001.jpg")
        assert asked == [photo]


def test_a_photograph_embedded_by_the_model_itself_is_most_like_itself(
    indexed: Path, photos: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.jpg"
    shutil.copy(photos / "001.jpg", copy)
    with search.open(indexed, lambda photo: runner.embed(tiny_bundle, "cpu", photo)) as index:
        hits = index.similar(copy, top=3)
        assert hits[0].path == "001.jpg"
        assert hits[0].score == pytest.approx(1, abs=0.01)
        own = index.similar(photos / "001.jpg", top=3)
        assert [hit.path for hit in own[:2]] == [hit.path for hit in hits[1:]]


def test_a_model_that_is_not_the_indexs_own_is_refused(folder: Path, tmp_path: Path) -> None:
    photo = make_photo(tmp_path / "new.jpg", 1)
    with (
        search.open(folder, lambda photo: ("other", np.ones(DIM, np.float32))) as index,
        pytest.raises(IntegrityError, match="was built with toy, not other"),
    ):
        index.similar(photo)


def test_a_photograph_outside_needs_a_model(index: Index, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no model is at hand"):
        index.similar(make_photo(tmp_path / "new.jpg", 1))
    with pytest.raises(UsageError, match="no photograph"):
        index.similar(tmp_path / "gone.jpg")


def test_a_photograph_with_a_name_that_is_not_utf8_is_found_in_the_index(tiny_bundle: Path, tmp_path: Path) -> None:
    odd = make_photo(tmp_path / "photos" / "a.jpg", 1).rename(tmp_path / "photos" / os.fsdecode(b"\xff.jpg"))
    for number in range(2, 5):
        make_photo(tmp_path / "photos" / f"{number}.jpg", number)
    options = runner.Options()
    runner.annotate(sources.find([tmp_path / "photos"]), tiny_bundle, tmp_path / "out", options, NullReporter())
    build(tmp_path / "out", tmp_path / "index", NullReporter())
    with search.open(tmp_path / "index") as index:
        assert len(index.similar(odd)) == 3


def test_no_index_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not an index"):
        search.open(tmp_path)


def cut(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return damage


def overwrite(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        size = (folder / name).stat().st_size
        (folder / name).write_bytes(b"\xa5" * size)

    return damage


def remove(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).unlink()

    return damage


def lose_images(folder: Path) -> None:
    """Take rows out of one table only, and make the manifest believe the file."""
    with duckdb.connect(str(folder / manifests.SCORES)) as database:
        database.execute("DELETE FROM images WHERE id < 400")
    trust(folder)


def lose_columns(folder: Path) -> None:
    with duckdb.connect(str(folder / manifests.SCORES)) as database:
        database.execute("ALTER TABLE scores DROP COLUMN s4")
    trust(folder)


def trust(folder: Path) -> None:
    read = manifests.msgspec.json.decode((folder / "manifest.json").read_bytes())
    read["files"] = {name: (folder / name).stat().st_size for name in read["files"]}
    write_json(folder / "manifest.json", read)


DAMAGES = {
    f"{how.__name__} {name}": how(name)
    for how in (cut, overwrite, remove)
    for name in ("manifest.json", manifests.SCORES, manifests.VECTORS)
    if (how, name) != (remove, "manifest.json")
}


@pytest.mark.parametrize("damage", [*DAMAGES.values(), lose_images, lose_columns], ids=[*DAMAGES, "rows", "columns"])
def test_a_damaged_index_is_an_integrity_error_of_one_line(damage: Callable[[Path], None], copied: Path) -> None:
    def use() -> None:
        with search.open(copied) as index:
            index.query("boat", 400)
            index.similar(EMBEDDING_ND[0])

    use()
    damage(copied)
    with pytest.raises(IntegrityError) as caught:
        use()
    assert "\n" not in str(caught.value)


def test_a_newer_index_is_refused(copied: Path) -> None:
    manifest = manifests.read(copied)
    write_json(copied / "manifest.json", manifests.msgspec.structs.replace(manifest, schema_version=2))
    with pytest.raises(IntegrityError, match="build it again"):
        search.open(copied)


def test_opening_and_asking_writes_nothing(copied: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in copied.iterdir()}
    with search.open(copied) as index:
        index.query("boat")
        index.similar("/photos/0003.jpg")
    assert {path.name: path.stat().st_mtime_ns for path in copied.iterdir()} == before
