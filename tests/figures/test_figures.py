import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from conftest import LABELS, Invoke, make_bundle, make_photo
from PIL import Image

pytest.importorskip("matplotlib")
from aaam_pipeline.core.errors import IntegrityError, UsageError
from aaam_pipeline.core.extras import how_to_install
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.datasets.listing import Example, Listing
from aaam_pipeline.datasets.prepare import prepare
from aaam_pipeline.datasets.prepared import read_split
from aaam_pipeline.figures import build, prediction_paths, score_bars, style
from aaam_pipeline.figures.build import find_rows, order_by_rise, show
from aaam_pipeline.formats.recordings import Recording, write_recording
from aaam_pipeline.formats.scores import ScoredSplit, write_scores

TEXT = "{http://www.w3.org/2000/svg}text"
TRUTH = {
    f"test/{row}": names for row, names in enumerate((("grass", "dog"), ("football", "grass"), ("traffic light",)))
}


def targets() -> np.ndarray:
    return np.array([[label in names for label in LABELS] for names in TRUTH.values()], np.uint8)


def recording(seed: int, steps: int) -> Recording:
    scores = np.random.default_rng(seed).random((steps, len(TRUTH), len(LABELS)), dtype=np.float32)
    return Recording(LABELS, list(TRUTH), targets(), np.arange(steps) * 5, scores)


def scored(seed: int) -> ScoredSplit:
    scores = np.random.default_rng(seed).random((len(TRUTH), len(LABELS)), dtype=np.float32)
    return ScoredSplit(list(TRUTH), scores, targets(), LABELS, 2)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of the data set `toy` with all that figures are made of. Read only."""
    folder = tmp_path_factory.mktemp("project")
    splits = {
        split: [
            Example(f"{split}/{row}", make_photo(folder / "raw" / split / f"{row}.png", row, (48, 36)), names)
            for row, names in enumerate(TRUTH.values())
        ]
        for split in ("train", "val", "test")
    }
    listing = Listing(tuple(LABELS), splits)
    prepare("toy", listing, folder / "data/prepared/toy", 32, NullReporter())
    for number, phase in enumerate(("bce", "joint", "hard")):
        write_recording(folder / f"plots/toy/paths/{phase}.parquet", recording(number, 4 + number))
        write_scores(folder / f"scores/toy/{phase}.parquet", scored(number))
        make_bundle(folder / "models/toy" / phase, seed=number + 1)
    return folder


@pytest.fixture
def project(made: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> Path:
    # `invoke` goes to a folder of its own first
    monkeypatch.chdir(made)
    return made


def request_for(folder: Path, *images: str) -> build.FigureRequest:
    return build.FigureRequest(Path("data/prepared/toy"), folder / "figure", images, 2, ["svg"])


def texts(svg: Path) -> list[str]:
    return [each.text or "" for each in ET.parse(svg).iter(TEXT)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("figure", "file", "said"),
    [
        ("paths", "prediction_paths", {"BCE", "AAAM", "bce", "joint", "hard", "training step", "dog", "grass"}),
        ("bars", "score_bars", {"Baseline", "AAAM", "relevant label", "irrelevant label", "traffic light"}),
        ("maps", "activation_maps", {"Baseline", "AAAM", "dog", "grass", "football"}),
    ],
)
def test_a_data_sets_name_is_enough(
    figure: str, file: str, said: set[str], project: Path, invoke: Invoke, tmp_path: Path
) -> None:
    done = invoke("figures", figure, "--dataset", "toy", "--images", "test/0,test/1,test/2")
    assert done.exit_code == 0, done.output
    assert done.stdout.split() == [f"figures/toy/{file}.png", f"figures/toy/{file}.svg"]
    with Image.open(project / f"figures/toy/{file}.png") as picture:
        assert picture.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        assert picture.width == pytest.approx(300 * style.TWO_COLUMNS, abs=2)
        assert np.asarray(picture.convert("L")).std() > 10
    svg = project / f"figures/toy/{file}.svg"
    assert said <= set(texts(svg))
    assert ("WARP is left out: no plots/toy/paths/warp.parquet" in done.stderr) == (figure == "paths")
    again = invoke(
        "figures", figure, "--dataset", "toy", "--images", "test/0,test/1,test/2", "--out", tmp_path / "again"
    )
    assert again.exit_code == 0
    for ending in ("png", "svg"):
        assert (tmp_path / f"again.{ending}").read_bytes() == svg.with_suffix(f".{ending}").read_bytes()


def test_inputs_can_be_named(project: Path, invoke: Invoke, tmp_path: Path) -> None:
    paths = Path("plots/toy/paths")
    words = [f"Mine={paths}/bce.parquet+{paths}/hard.parquet", "--images", "test/2", "--irrelevant", 1]
    where = ["--prepared", "data/prepared/toy", "--out", tmp_path / "mine", "--format", "svg"]
    done = invoke("figures", "paths", *words, *where)
    assert done.exit_code == 0, done.output
    assert done.stdout.split() == [str(tmp_path / "mine.svg")]
    assert not (tmp_path / "mine.png").exists()
    found = texts(tmp_path / "mine.svg")
    assert {"Mine", "bce", "hard", "traffic light"} <= set(found)
    assert len(set(LABELS) & set(found)) == 2
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["paths", "--dataset", "other"], "no recordings in plots/other/paths"),
        (["paths"], "say where the pictures are"),
        (["paths", "A=plots/toy/paths/bce.parquet", "--prepared", "data/prepared/toy"], "say where to write"),
        (["paths", "plots/toy/paths/bce.parquet", "--dataset", "toy"], "is not NAME=FILE"),
        (["bars", "A=x", "A=y", "--dataset", "toy"], "'A' is there twice"),
        (["bars", "A=scores/toy/bce.parquet", "--dataset", "toy"], "bars compare two methods"),
        (["bars", "--dataset", "other"], "no scores file scores/other/bce.parquet"),
        (["paths", "A=x.parquet", "--dataset", "toy"], "no recording x.parquet"),
        (["bars", "--prepared", "data/prepared/toy", "--out", "x"], "say what to draw"),
        (
            ["bars", "--dataset", "toy", "--images", "test/9"],
            "no image 'test/9' there; there are test/0, test/1, test/2",
        ),
        (["maps", "--dataset", "toy", "--images", "test/9"], "no test image 'test/9'"),
        (["maps", "A=models/toy", "--dataset", "toy"], "models/toy is not a model bundle"),
        (["bars", "--dataset", "toy", "--prepared", "nowhere"], "nowhere is not a prepared data set"),
        (["maps", "--dataset", "toy", "--device", "cuda:99"], "--device cuda:99"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(words: list[str], said: str, project: Path, invoke: Invoke) -> None:
    done = invoke("figures", *words)
    assert done.exit_code == 2, done.output
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_without_matplotlib_the_extra_is_named(project: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in sys.modules if each.startswith("aaam_pipeline.figures")]:
        monkeypatch.delitem(sys.modules, name)
    # as where it is not installed
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for figure in ("paths", "bars", "maps"):
        done = invoke("figures", figure, "--dataset", "toy")
        assert done.exit_code == 2
        assert done.stderr == f"error: matplotlib is not installed: {how_to_install('research')}\n"


def test_the_commands_help_needs_neither_torch_nor_matplotlib() -> None:
    code = "import sys, aaam_pipeline.cli.app; print([each for each in ('torch', 'matplotlib') if each in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_damaged_or_unlike_inputs_are_refused(project: Path, tmp_path: Path) -> None:
    other = recording(3, 4)._replace(labels=[*LABELS[:-1], "cat"])
    write_recording(tmp_path / "other.parquet", other)
    files = [Path("plots/toy/paths/bce.parquet"), tmp_path / "other.parquet"]
    with pytest.raises(IntegrityError, match="Mine: recordings to be joined are of other images or labels"):
        build.draw_paths({"Mine": files}, request_for(tmp_path))
    with pytest.raises(IntegrityError, match="the recordings of A and B are of other images or labels"):
        build.draw_paths({"A": files[:1], "B": files[1:]}, request_for(tmp_path))
    write_scores(tmp_path / "other.parquet", scored(1)._replace(image_ids=["a", "b", "c"]))
    with pytest.raises(IntegrityError, match="the scores of A and B are of other images or labels"):
        build.draw_bars({"A": Path("scores/toy/bce.parquet"), "B": tmp_path / "other.parquet"}, request_for(tmp_path))
    make_bundle(tmp_path / "model", [*LABELS[:-1], "cat"])
    with pytest.raises(IntegrityError, match="was trained on other labels or sizes"):
        build.draw_maps({"A": tmp_path / "model"}, request_for(tmp_path))
    assert not list(tmp_path.glob("figure*"))


def test_images_are_chosen_on_which_a_hard_label_rises() -> None:
    truth = np.array([[1, 0, 0], [1, 0, 1], [1, 0, 1], [0, 0, 1]])
    before = np.array([[0.1, 0.9, 0.5], [0.9, 0.2, 0.1], [0.9, 0.2, 0.1], [0.1, 0.2, 0.3]])
    after = np.array([[0.3, 0.9, 0.5], [0.1, 0.2, 0.6], [0.9, 0.2, 0.4], [0.1, 0.2, 0.99]])
    # label 2 of the last image is not hard: it is the best-scored one
    assert order_by_rise(before, after, truth) == [1, 2, 0, 3]


def test_a_picture_is_the_original_as_it_was_or_what_the_network_sees(project: Path, tmp_path: Path) -> None:
    test = read_split(Path("data/prepared/toy"), "test")
    assert show(test, 1).shape == (360, 480, 3)
    np.testing.assert_array_equal(show(test._replace(paths=[tmp_path / "gone"] * 3), 1), test.pixels_NSS3[1])
    with pytest.raises(UsageError, match="no test image 'x'"):
        find_rows(test.image_ids, ["x"], "test image")


def test_the_lines_are_the_scores_and_their_colours_the_truth() -> None:
    row = prediction_paths.PathRow("BCE", recording(1, 40))
    figure = prediction_paths.draw([row], [np.zeros((8, 8, 3), np.uint8)], [1], irrelevant=2)
    _, axes = figure.axes
    raw = [line for line in axes.lines if len(line.get_xdata()) == 40 and line.get_alpha()]
    shown = {line.get_color(): [] for line in raw}
    for line in raw:
        shown[line.get_color()].append(line.get_ydata().tolist())
    scores = row.recording.scores_SML[:, 1]
    relevant = np.flatnonzero(targets()[1])
    others = sorted(set(range(len(LABELS))) - set(relevant), key=lambda label: -scores[:, label].mean())[:2]
    for colour, labels in ((style.RELEVANT, relevant), (style.IRRELEVANT, others)):
        assert sorted(shown[colour]) == sorted(scores[:, label].tolist() for label in labels)


def test_the_bars_are_the_scores() -> None:
    one, other = score_bars.Scored("A", scored(1)), score_bars.Scored("B", scored(2))
    figure = score_bars.draw(one, other, [np.zeros((8, 8, 3), np.uint8)], [0], lines=4)
    axes = figure.axes[1]
    names = [each.get_text() for each in axes.get_yticklabels()]
    assert set(names[:2]) == {"grass", "dog"}
    widths = [bar.get_width() for bar in axes.patches]
    for number, name in enumerate(names):
        label = LABELS.index(name)
        assert widths[number] == one.split.scores_NL[0, label]
        assert widths[len(names) + number] == other.split.scores_NL[0, label]
    assert [each.get_color() for each in axes.get_yticklabels()] == [style.RELEVANT] * 2 + [style.IRRELEVANT] * 3


@pytest.mark.parametrize("name", ["$x$ & <y>", "a" * 40])
def test_any_label_can_be_drawn(name: str, tmp_path: Path) -> None:
    odd = recording(1, 3)._replace(labels=[name, *LABELS[1:]])
    figure = prediction_paths.draw([prediction_paths.PathRow("BCE", odd)], [np.zeros((8, 8, 3), np.uint8)], [0])
    (svg,) = style.save(figure, tmp_path / "odd", ["svg"])
    assert style.short(name) in texts(svg)
    assert len(style.short(name)) <= style.LONGEST


def test_labels_that_are_unknown_are_not_drawn() -> None:
    targets = np.array([[1, -1, 0, -1, 0, 0]], np.int8)
    scores = np.array([[0.5, 0.9, 0.1, 0.8, 0.7, 0.6]], np.float32)
    split = ScoredSplit(["a"], scores, targets, list("abcdef"), 2)
    assert score_bars._shown(split, split, 0, 6) == [0, 4, 5, 2]
    recording = Recording(split.labels, ["a"], targets, np.array([0]), scores[None])
    assert prediction_paths._shown([prediction_paths.PathRow("x", recording, [])], 0, 2) == [0, 4, 5]
