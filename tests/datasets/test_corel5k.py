from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from aaam_pipeline.core.errors import DatasetError
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.datasets import corel5k
from aaam_pipeline.datasets.copies import find_root
from aaam_pipeline.datasets.corel5k import Params
from aaam_pipeline.datasets.listing import Listing, checked_listing

WORDS = ["city", "sky", "sun", "tiger", "water", "unused"]
# `tiger` occurs in training only, `water` in test only
TRAINING = {"1000": [1, 2], "1001": [2, 3], "1002": [4, 2], "1003": [3], "1004": [1, 3], "2000": [4]}
TEST = {"2001": [1, 5], "2002": [2, 3]}


def write_labels(root: Path, name: str, content: dict[str, list[int]]) -> None:
    lines = [" ".join([image, *map(str, words)]) for image, words in content.items()]
    (root / "labels" / name).write_text("\n".join(lines) + "\n")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Make a Corel-5k of eight images in two folders."""
    root = tmp_path / "corel5k"
    (root / "labels").mkdir(parents=True)
    (root / "labels" / "words").write_text("\n".join(WORDS) + "\n")
    write_labels(root, "training_label", TRAINING)
    write_labels(root, "test_label", TEST)
    for image in (*TRAINING, *TEST):
        folder = root / "images" / f"{image[0]}000"
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 4), (int(image[-1]) * 20, 0, 0)).save(folder / f"{image}.jpeg")
    return root


def obtained(copy: Path, params: Params) -> Path:
    raw = copy.parent / "raw"
    raw.mkdir()
    corel5k.download(params, raw, NullReporter())
    return raw


def listed(copy: Path, **settings: object) -> Listing:
    params = Params(root=str(copy), **({"val": 2} | settings))  # type: ignore[arg-type]
    return corel5k.read(obtained(copy, params), params)


def test_kept_are_the_words_that_occur_in_both_splits(copy: Path) -> None:
    listing = listed(copy)
    assert listing.labels == ("city", "sky", "sun")
    assert {example.image_id: example.labels for example in listing.splits["test"]} == {
        "2001": ("city",), "2002": ("sky", "sun"),
    }  # fmt: skip
    others = {example.image_id: example.labels for split in ("train", "val") for example in listing.splits[split]}
    assert others["1002"] == ("sky",)
    assert others["2000"] == ()


def test_validation_is_held_out_of_training(copy: Path) -> None:
    splits = listed(copy).splits
    train, val = ([example.image_id for example in splits[name]] for name in ("train", "val"))
    assert len(val) == 2
    assert sorted(train + val) == sorted(TRAINING)
    assert train == [image for image in TRAINING if image in train], "the order is that of the file"


def test_the_held_out_images_depend_on_the_seed_alone(copy: Path) -> None:
    raw = obtained(copy, Params(root=str(copy)))

    def held_out(seed: int) -> set[str]:
        return {example.image_id for example in corel5k.read(raw, Params(val=2, seed=seed)).splits["val"]}

    assert held_out(7) == held_out(7)
    assert len({frozenset(held_out(seed)) for seed in range(10)}) > 1


def test_paths_lead_to_the_users_own_files_and_nothing_is_copied(copy: Path) -> None:
    raw = obtained(copy, Params(root=str(copy)))
    assert {path.suffix for path in raw.rglob("*") if path.is_file()} == {"", ".csv"}
    for examples in corel5k.read(raw, Params(val=2)).splits.values():
        for example in examples:
            assert example.path == copy / "images" / f"{example.image_id[0]}000" / f"{example.image_id}.jpeg"
            assert example.path.is_file()


def test_a_copy_in_the_project_has_paths_that_move_with_it(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    described = []
    for turn in ("here", "there"):
        project = copy.parent / turn
        project.mkdir()
        (project / "mine").symlink_to(copy)
        monkeypatch.chdir(project)
        for root in ("mine", str(project / "mine")):
            (raw := Path(f"raw{len(described)}")).mkdir()
            corel5k.download(Params(root=root), raw, NullReporter())
            described.append({path.name: path.read_bytes() for path in raw.rglob("*") if path.is_file()})
    assert all(each == described[0] for each in described)
    listing = corel5k.read(Path("raw2"), Params(val=2))
    assert listing.splits["test"][0].path == Path("mine", "images", "2000", "2001.jpeg")


@pytest.mark.parametrize("base", ["the data set", "the folder above"])
def test_the_environment_variable_points_to_the_copy_or_above_it(
    base: str, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AAAM_DATA_DIR", str(copy if base == "the data set" else copy.parent))
    assert corel5k.root_of(Params()) == copy


def test_the_setting_goes_before_the_environment(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AAAM_DATA_DIR", str(tmp_path / "elsewhere"))
    assert corel5k.root_of(Params(root=str(copy))) == copy


def test_a_wrong_root_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"corel5k\.data\.root: no folder .*nowhere"):
        corel5k.root_of(Params(root=str(tmp_path / "nowhere")))


def test_an_environment_variable_that_leads_nowhere_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # for a data set that can be downloaded, too: a mistyped name must not begin a download of 20 GB
    monkeypatch.setenv("AAAM_DATA_DIR", "/nowhere")
    with pytest.raises(DatasetError, match="AAAM_DATA_DIR: no folder /nowhere"):
        find_root("coco2014", None, "annotations")


@pytest.mark.parametrize("base", ["not set", "empty", "a folder without it"])
def test_where_nothing_leads_to_a_copy_the_message_says_what_to_set(
    base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AAAM_DATA_DIR", raising=False)
    if base != "not set":
        monkeypatch.setenv("AAAM_DATA_DIR", "" if base == "empty" else str(tmp_path))
    with pytest.raises(DatasetError, match=r"set corel5k\.data\.root or AAAM_DATA_DIR"):
        corel5k.root_of(Params())


@pytest.mark.parametrize("name", ["words", "training_label", "test_label"])
def test_a_missing_label_file_is_named(name: str, copy: Path) -> None:
    (copy / "labels" / name).unlink()
    with pytest.raises(DatasetError, match=f"no labels/{name}"):
        listed(copy)


def remove_image(root: Path) -> None:
    (root / "images" / "1000" / "1003.jpeg").unlink()


def remove_all_images(root: Path) -> None:
    for path in root.glob("images/*/*"):
        path.unlink()


def number_too_high(root: Path) -> None:
    write_labels(root, "test_label", TEST | {"1000": [1, 7]})


def number_zero(root: Path) -> None:
    write_labels(root, "training_label", TRAINING | {"1001": [0]})


def no_number(root: Path) -> None:
    (root / "labels" / "test_label").write_text("2001 1\n2002 sky\n")


def listed_twice(root: Path) -> None:
    (root / "labels" / "training_label").write_text("1000 1\n1001 2\n1000 3\n")


def in_both_splits(root: Path) -> None:
    write_labels(root, "test_label", TEST | {image: words for image, words in TRAINING.items() if image != "1003"})


def an_empty_word(root: Path) -> None:
    (root / "labels" / "words").write_text("city\n\nsky\nsun\ntiger\nwater\n")


def a_word_twice(root: Path) -> None:
    (root / "labels" / "words").write_text("city\nsky\nsun\ntiger\nsky\nwater\n")


def words_in_utf_16(root: Path) -> None:
    (root / "labels" / "words").write_text("city\nsky\n", encoding="utf-16")


def labels_in_latin_1(root: Path) -> None:
    (root / "labels" / "test_label").write_bytes("caf\u00e9 1\n".encode("latin-1"))


def a_stem_in_two_folders(root: Path) -> None:
    Image.new("RGB", (6, 4)).save(root / "images" / "2000" / "1003.JPG")


def no_common_word(root: Path) -> None:
    write_labels(root, "test_label", {"2001": [5], "2002": [6]})


def a_digit_of_another_script(root: Path) -> None:
    (root / "labels" / "test_label").write_text("2001 \u0661\n", encoding="utf8")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (remove_image, r"1 image is missing, the first is 1003"),
        (remove_all_images, r"no images/"),
        (number_too_high, r"test_label, line 3: .*1 to 6: '1000 1 7'"),
        (number_zero, r"training_label, line 2: "),
        (no_number, r"test_label, line 2: .*'2002 sky'"),
        (listed_twice, r"training_label, line 3: image 1000 is listed twice, with different labels"),
        (an_empty_word, r"words, line 2: it is empty"),
        (a_word_twice, r"words, line 5: the word 'sky' is in line 2 already"),
        (words_in_utf_16, r"words is not text in UTF-8 \(byte 0\)"),
        (labels_in_latin_1, r"test_label is not text in UTF-8 \(byte 3\)"),
        (a_stem_in_two_folders, r"1000/1003\.jpeg and .*2000/1003\.JPG are both image 1003; keep one"),
        (no_common_word, r"no word occurs in both training_label and test_label"),
        (a_digit_of_another_script, r"test_label, line 1: word numbers must be 1 to 6"),
        (in_both_splits, r"image 1000 is in (train|val) and in test"),
    ],
)
def test_damage_is_reported_with_file_and_line(damage: Callable[[Path], None], said: str, copy: Path) -> None:
    damage(copy)
    with pytest.raises(DatasetError, match=said) as caught:
        checked_listing("corel5k", listed(copy))
    assert "\n" not in str(caught.value)


def test_an_image_listed_again_with_the_same_labels_is_taken_once(copy: Path) -> None:
    with (copy / "labels" / "training_label").open("a") as file:
        file.write("1000 2 1\n\n1002 4 2 2\n")
    listing = listed(copy)
    assert listing.note == (
        "corel5k: training_label: 2 images are listed again with the same labels, and taken once: 1000, 1002"
    )
    assert sorted(each.image_id for name in ("train", "val") for each in listing.splits[name]) == sorted(TRAINING)


def test_a_byte_order_mark_is_no_part_of_a_word_or_an_image(copy: Path) -> None:
    for name in ("words", "training_label", "test_label"):
        path = copy / "labels" / name
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert listed(copy).labels == ("city", "sky", "sun")


def test_suffixes_in_capitals_png_and_names_with_blanks_are_found(copy: Path) -> None:
    Image.open(copy / "images" / "2000" / "2001.jpeg").save(copy / "images" / "2000" / "my 2001.png")
    (copy / "images" / "2000" / "2001.jpeg").unlink()
    (copy / "images" / "2000" / "2002.jpeg").rename(copy / "images" / "2000" / "2002  2.JPG")
    (copy / "labels" / "test_label").write_text("my 2001 1 5\n2002  2\t2 3\n")
    assert [(each.image_id, each.labels) for each in listed(copy).splits["test"]] == [
        ("my 2001", ("city",)), ("2002  2", ("sky", "sun")),
    ]  # fmt: skip


def test_validation_must_leave_something_to_train_on(copy: Path) -> None:
    with pytest.raises(DatasetError, match=r"corel5k\.data\.val: 6 of 6"):
        listed(copy, val=6)


def test_the_real_copy_has_its_known_counts(shared: Path, tmp_path: Path) -> None:
    params = Params(root=str(shared / "data" / "corel5k"))
    corel5k.download(params, tmp_path, NullReporter())
    listing = corel5k.read(tmp_path, params)
    assert {name: len(examples) for name, examples in listing.splits.items()} == {
        "train": 3600,
        "val": 400,
        "test": 500,
    }
    assert 200 < len(listing.labels) <= 374
    assert all(set(example.labels) <= set(listing.labels) for example in listing.splits["test"])
