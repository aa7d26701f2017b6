"""What several test files need: a tiny model bundle, photographs, finished annotations, indexes, a command line."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.ExifTags import IFD, Base
from search.deciding import DIGESTS
from search.toy_index import EMBEDDING_ND, SCORES_NL, write_annotations
from training import toy_blocks
from typer.testing import CliRunner

from aaam_pipeline import metrics, search
from aaam_pipeline.annotate import backends, inputs, runner
from aaam_pipeline.annotate.options import Assignment
from aaam_pipeline.cli.app import app
from aaam_pipeline.core.artifacts import fingerprint
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.formats.familiarity import Familiarity
from aaam_pipeline.formats.words import WordSupport
from aaam_pipeline.index.build import build
from aaam_pipeline.models import ModelParams, Network, bundle, library
from aaam_pipeline.models.info import AttentionParams
from aaam_pipeline.models.preprocess import Preprocess
from aaam_pipeline.models.runtime_form import FormMaker, FormRequest, LabelledImages

# helpers whose asserts are to tell what they compared
pytest.register_assert_rewrite("cli.failures", "decoding", "runs")

LABELS = ["grass", "football", "traffic light", "person", "dog"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with slow tests first: the workers that end first then share what is short."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


Result = Any  # typer brings a click of its own, which has no public name
Invoke = Callable[..., Result]


def make_bundle(
    folder: Path,
    labels: list[str] = LABELS,
    seed: int = 1,
    threshold: float = 0.5,
    make_form: bundle.MakeForm | None = None,
    familiarity: Familiarity | None = None,
    words: list[WordSupport] | None = None,
) -> Path:
    """Save an untrained network of `labels` for pictures of 32 px; another seed gives another model id."""
    torch.manual_seed(seed)
    model = ModelParams(
        backbone="vgg_small", weights="none", batch_norm="train", attention=AttentionParams(filters="depthwise")
    )
    preprocess = Preprocess(size=32)
    network = Network(model, len(labels), preprocess.size)
    spread(network.eval(), preprocess)
    info = bundle.BundleInfo(
        architecture=model,
        preprocess=preprocess,
        vocabulary=labels,
        thresholds=[threshold] * len(labels),
        k=2,
        dataset="toy",
        phase="bce",
        metrics={},
        words=words or [],
    )
    bundle.save(network, info, folder, make_form, familiarity)
    return folder


def spread(network: Network, preprocess: Preprocess) -> None:
    """Give the outputs of the linear layers mean 0 and deviation 1 or 2: an untrained network's hardly differ."""
    blocks = torch.nn.functional.interpolate(torch.rand(64, 3, 6, 6), size=preprocess.size, mode="bicubic")
    pixels_BSS3 = (blocks.clamp(0, 1) * 255).byte().permute(0, 2, 3, 1)
    with torch.no_grad():
        values = network.pool(network.features(preprocess.normalise(pixels_BSS3))).flatten(1)
        hidden = network.neck[1]
        for layer, deviation in ((hidden, 1.0), (network.classifier, 2.0)):
            outputs = layer(values)
            scale = deviation / outputs.std(0)
            layer.weight.mul_(scale[:, None])
            layer.bias.sub_(outputs.mean(0)).mul_(scale)
            values = layer(values).relu()


def rewrite_json(path: Path, **values: Any) -> None:
    """Change values of a JSON file, and its hash so that it fits; a callable makes the new value of the old one."""
    content = json.loads(path.read_text())
    for key, value in values.items():
        content[key] = value(content[key]) if callable(value) else value
    path.write_text(json.dumps(content | {"hash": fingerprint(content | {"hash": ""})}))


def make_photo(path: Path, seed: int, size: tuple[int, int] = (48, 40)) -> Path:
    """Save a picture that `seed` alone decides: coloured noise in large blocks. A JPEG of an odd seed has a date."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    exif = Image.Exif()
    if seed % 2 and path.suffix == ".jpg":
        exif.get_ifd(IFD.Exif)[Base.DateTimeOriginal] = f"{2000 + seed % 100}:05:01 12:30:00"
    Image.fromarray(blocks).resize(size, Image.Resampling.BICUBIC).save(path, exif=exif)
    return path


class Said(NullReporter):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("models") / "models" / "toy" / "bce")


@pytest.fixture(scope="session")
def formed_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network of `tiny_bundle` with its runtime form in fp32. Read only."""
    return make_bundle(tmp_path_factory.mktemp("formed") / "bundle", make_form=FormMaker(FormRequest("fp32")))


@pytest.fixture(scope="session")
def int8_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same network with its runtime form in int8, measured on pictures that it is right about. Read only."""
    pixels_NSS3 = noise(60)
    plain = make_bundle(tmp_path_factory.mktemp("plain") / "bundle")
    scores_NL = backends.create("torch", plain, "cpu").start(pixels_NSS3)().scores_BL
    images = LabelledImages(pixels_NSS3[30:], scores_NL[30:] > np.median(scores_NL, axis=0), metrics.evaluate)
    maker = FormMaker(FormRequest("int8"), pixels_NSS3[:30], images)
    return make_bundle(tmp_path_factory.mktemp("int8") / "bundle", make_form=maker)


def noise(count: int) -> NDArray[np.uint8]:
    """Return pictures of 32 px, (N, S, S, 3): large blocks of colours."""
    blocks = np.random.default_rng(count).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return blocks.repeat(8, 1).repeat(8, 2)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 24 sound photographs, some of them in a subfolder."""
    folder = tmp_path_factory.mktemp("photos") / "photos"
    for number in range(24):
        make_photo(folder / ("holiday" if number % 3 == 0 else ".") / f"{number:03d}.jpg", seed=number)
    return folder


@pytest.fixture(scope="session")
def annotated(tiny_bundle: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Annotations of `photos`. Read only: copy it to change it."""
    out = tmp_path_factory.mktemp("annotated") / "annotations"
    runner.annotate(inputs.find([photos]), tiny_bundle, out, runner.Options(part_size=10), NullReporter())
    return out


@pytest.fixture(scope="session")
def partly_failed(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Annotations of which every third row failed, in parts of 2: some parts hold only failed rows."""
    folder = tmp_path_factory.mktemp("partly")
    for number in range(12):
        make_photo(folder / "photos" / f"{number:02d}.jpg", number)
        if number % 3 == 0 or number in (4, 5):
            (folder / "photos" / f"{number:02d}.jpg").write_text("no image")
    options = runner.Options(part_size=2, max_failure_rate=1, assignment=Assignment(top=2))
    runner.annotate(inputs.find([folder / "photos"]), tiny_bundle, folder / "annotations", options, NullReporter())
    return folder / "annotations"


@pytest.fixture(scope="session")
def indexed(annotated: Path) -> Path:
    """An index of `annotated`. Read only: copy it to change it."""
    build(annotated, annotated.parent / "index", NullReporter())
    return annotated.parent / "index"


@pytest.fixture(scope="session")
def toy_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of the made-up images of search.toy_index. Read only: copy it to change it."""
    place = tmp_path_factory.mktemp("synthetic")
    build(write_annotations(place / "annotations", SCORES_NL, EMBEDDING_ND), place / "index", NullReporter())
    return place / "index"


@pytest.fixture(scope="session")
def contents_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy images, each with a digest. Read only."""
    place = tmp_path_factory.mktemp("contents")
    build(
        write_annotations(place / "annotations", SCORES_NL, EMBEDDING_ND, sha256=DIGESTS),
        place / "index",
        NullReporter(),
    )
    return place / "index"


@pytest.fixture(scope="session")
def index(toy_index: Path) -> Iterator[search.Index]:
    """`toy_index`, opened."""
    with search.open(toy_index) as opened:
        yield opened


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set of training.toy_blocks, prepared. Read only."""
    return toy_blocks.make_prepared(tmp_path_factory.mktemp("blocks") / "prepared")


@pytest.fixture(scope="session")
def trained(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `bce` has run undisturbed on `prepared`. Read only."""
    root = tmp_path_factory.mktemp("trained")
    toy_blocks.train(root, "bce", prepared)
    return root


@pytest.fixture(scope="session", autouse=True)
def no_user_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the settings of whoever runs the tests out of them, also of the processes that they start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        # as where no starter comes with the installation; tests of it put a stand-in there
        patch.setattr(library, "STARTER_FOLDER", tmp_path_factory.mktemp("package") / "starter")
        yield


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Run a command in an empty folder, with no setting from outside."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "AAAM_DEBUG",
        "AAAM_LOG_FILE",
        "AAAM_VERBOSE",
        "AAAM_QUIET",
        "AAAM_NO_CONFIG",
        "AAAM_MODEL",
        "AAAM_INDEX",
        "AAAM_DECISIONS",
        "AAAM_TAUGHT",
        "AAAM_DEVICE",
        "AAAM_WORDS",
        "AAAM_BACKEND",
        "AAAM_BATCH_SIZE",
        "AAAM_NUM_WORKERS",
    ):
        # set and removed, so that what a command itself sets is taken back afterwards too
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real photographs and weights; tests that need it skip where it is not there."""
    folder = Path(os.environ.get("AAAM_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip("AAAM_SHARED names no folder with real photographs")
    return folder
