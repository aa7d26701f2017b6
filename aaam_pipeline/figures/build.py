"""The figures from files: read the inputs, choose the images, draw, write PNG and SVG.

Images are test images of a prepared data set. Where none are chosen, those are shown on which a hard label rises
farthest from the first method to the last: a relevant label that the first one ranks below as many labels as are
relevant.

Shapes: N images, L labels; H x W a picture as it is shown.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from aaam_pipeline.core.errors import ImageError, IntegrityError, UsageError
from aaam_pipeline.datasets.prepared import Split, read_labels, read_split
from aaam_pipeline.figures import activation_maps, prediction_paths, score_bars, style
from aaam_pipeline.formats.recordings import join, read_recording
from aaam_pipeline.formats.scores import read_scores
from aaam_pipeline.imaging.resizing import thumbnail
from aaam_pipeline.models import bundle

# the longer side of a picture; an inch and a half of print at 300 dpi
SIDE = 480
# the images that models are run on to choose some
CANDIDATES, BATCH = 256, 64
# the rows of Fig. 2: the recordings of their phases
ROWS = {"WARP": ("warp",), "BCE": ("bce",), "AAAM": ("bce", "joint", "hard")}


class FigureRequest(NamedTuple):
    """What is asked of a figure: the prepared data set, where to write (without an ending), and which images."""

    prepared: Path
    out: Path
    images: Sequence[str] = ()
    number: int = 4
    formats: Sequence[str] = style.FORMATS


def find_recordings(folder: Path) -> tuple[dict[str, list[Path]], dict[str, Path]]:
    """Return the rows of Fig. 2 that training left recordings of, and the others with a file that they lack.

    Raises:
        UsageError: there are no recordings.
    """
    rows = {name: [folder / f"{phase}.parquet" for phase in phases] for name, phases in ROWS.items()}
    missing = {name: [file for file in files if not file.is_file()] for name, files in rows.items()}
    found = {name: files for name, files in rows.items() if not missing[name]}
    if not found:
        raise UsageError(
            f"no recordings in {folder}: training writes them, so run `dvc repro`, or name some: NAME=FILE"
        )
    return found, {name: files[0] for name, files in missing.items() if files}


def draw_paths(methods: Mapping[str, Sequence[Path]], request: FigureRequest, irrelevant: int = 3) -> list[Path]:
    """Draw Fig. 2 of methods, given as name -> recordings of its phases, in order; return the files.

    Raises:
        IntegrityError: a recording is damaged, or they are not of the same images and labels.
        UsageError: a file is not there, or an image is not in the recordings or not in the prepared data set.
    """
    _check_there("recording", [file for files in methods.values() for file in files])
    rows = [_row(name, files) for name, files in methods.items()]
    prediction_paths.check_alike(rows)
    names = rows[-1].recording.image_ids
    positions = find_rows(names, request.images) or _choose(rows[-1], request.number)
    pictures = _pictures(request, [names[position] for position in positions])
    return style.save(prediction_paths.draw(rows, pictures, positions, irrelevant), request.out, request.formats)


def draw_bars(methods: Mapping[str, Path], request: FigureRequest) -> list[Path]:
    """Draw Fig. 4 of two methods, given as name -> scores.parquet, the baseline first; return the files.

    Raises:
        IntegrityError: scores are damaged, or not of the same images and labels.
        UsageError: they are not two methods, or a file or an image is not there.
    """
    if len(methods) != 2:
        raise UsageError(f"bars compare two methods, the baseline first, not {len(methods)}")
    _check_there("scores file", methods.values())
    baseline, ours = (score_bars.Scored(name, read_scores(file)) for name, file in methods.items())
    one, other = baseline.split, ours.split
    if (one.image_ids, one.labels) != (other.image_ids, other.labels) or (one.targets_NL != other.targets_NL).any():
        raise IntegrityError(f"the scores of {baseline.title} and {ours.title} are of other images or labels")
    rows = find_rows(other.image_ids, request.images)
    rows = rows or order_by_rise(one.scores_NL, other.scores_NL, other.targets_NL)[: request.number]
    pictures = _pictures(request, [other.image_ids[row] for row in rows])
    return style.save(score_bars.draw(baseline, ours, pictures, rows), request.out, request.formats)


def draw_maps(models: Mapping[str, Path], request: FigureRequest, labels: int = 3, device: str = "auto") -> list[Path]:
    """Draw Fig. 5 of models, given as name -> bundle, the baseline first; of an image at most so many labels.

    Raises:
        IntegrityError: a bundle is damaged, or does not fit the prepared data set.
        UsageError, DeviceError: there is no such bundle, image or device.
    """
    target = bundle.choose_device(device)
    loaded = [bundle.load(folder, target) for folder in models.values()]
    test = read_split(request.prepared, "test")
    vocabulary = read_labels(request.prepared)
    for each in loaded:
        if each.info.vocabulary != vocabulary or each.info.preprocess.size != test.pixels_NSS3.shape[1]:
            raise IntegrityError(f"{each.folder} was trained on other labels or sizes than {request.prepared} has")
    rows = find_rows(test.image_ids, request.images, "test image") or _order_by_rise(loaded, test)[: request.number]
    groups = [_group(loaded, test, row, vocabulary, labels) for row in rows]
    return style.save(activation_maps.draw(groups, list(models)), request.out, request.formats)


def show(split: Split, row: int) -> NDArray[np.uint8]:
    """Return a picture, (H, W, 3): the original if it can be read, else the square that the network sees."""
    try:
        return np.asarray(thumbnail(split.paths[row].read_bytes(), SIDE, enlarge=True))
    except (OSError, ImageError):
        return np.asarray(split.pixels_NSS3[row])


def order_by_rise(
    before_NL: NDArray[np.floating], after_NL: NDArray[np.floating], targets_NL: NDArray[np.integer]
) -> list[int]:
    """Order images by how far a hard label of theirs rises, the farthest first; of equal ones those with more labels.

    A label is hard for an image if it is relevant, and ranked below as many labels as are relevant.
    """
    relevant_NL = targets_NL > 0
    rise_NL = np.asarray(after_NL, np.float64) - before_NL
    rank_NL = np.argsort(-np.asarray(before_NL, np.float64), axis=1, kind="stable").argsort(axis=1)
    hard_NL = relevant_NL & (rank_NL >= relevant_NL.sum(1)[:, None])
    rise_N = np.where(hard_NL, rise_NL, -1.0).max(axis=1, initial=-1.0)
    return [int(row) for row in np.lexsort([-relevant_NL.sum(1), -rise_N])]


def find_rows(image_ids: Sequence[str], wanted: Sequence[str], what: str = "image") -> list[int]:
    """Return the positions of the images that somebody chose; `what` names one in messages.

    Raises:
        UsageError: one is not among `image_ids`.
    """
    positions = {image_id: position for position, image_id in enumerate(image_ids)}
    for image_id in wanted:
        if image_id not in positions:
            few = ", ".join(image_ids[:10]) + (", ..." if len(image_ids) > 10 else "")
            raise UsageError(f"no {what} {image_id!r} there; there are {few}")
    return [positions[image_id] for image_id in wanted]


def _pictures(request: FigureRequest, image_ids: Sequence[str]) -> list[NDArray[np.uint8]]:
    test = read_split(request.prepared, "test")
    return [show(test, row) for row in find_rows(test.image_ids, image_ids, "test image")]


def _check_there(what: str, files: Iterable[Path]) -> None:
    for file in files:
        if not file.is_file():
            raise UsageError(f"no {what} {file}")


def _choose(path: prediction_paths.PathRow, count: int) -> list[int]:
    """Return the positions of the images on which a hard label rises farthest from the first phase to the end."""
    recording, first = path.recording, 0
    if path.phases:
        # of two scores at that step, those that the next phase starts from
        first = int(np.flatnonzero(recording.steps_S <= path.phases[0][1])[-1])
    return order_by_rise(recording.scores_SML[first], recording.scores_SML[-1], recording.targets_ML)[:count]


def _row(name: str, files: Sequence[Path]) -> prediction_paths.PathRow:
    recordings = [read_recording(file) for file in files]
    try:
        joined = join(recordings)
    except IntegrityError as error:
        raise IntegrityError(f"{name}: {error}: {', '.join(map(str, files))}") from None
    ends = np.cumsum([recording.steps_S[-1] for recording in recordings]).tolist()
    phases = list(zip([file.stem for file in files], ends, strict=True)) if len(files) > 1 else []
    return prediction_paths.PathRow(name, joined, phases)


def _order_by_rise(models: Sequence[bundle.Bundle], test: Split) -> list[int]:
    """Return the first test images of two labels or more, in the order of `order_by_rise` from first to last model."""
    several_N = np.flatnonzero((test.targets_NL > 0).sum(1) > 1)[:CANDIDATES]
    before_NL, after_NL = (_predict(model, test, several_N) for model in (models[0], models[-1]))
    return [int(several_N[row]) for row in order_by_rise(before_NL, after_NL, test.targets_NL[several_N])]


def _predict(model: bundle.Bundle, test: Split, rows_N: NDArray[np.intp]) -> NDArray[np.float32]:
    scores = [
        model.network.predict(_input(model, test, rows_N[start : start + BATCH]))[0].cpu().numpy()
        for start in range(0, len(rows_N), BATCH)
    ]
    return np.concatenate([np.zeros((0, len(model.info.vocabulary)), np.float32), *scores])


def _input(model: bundle.Bundle, test: Split, rows_B: NDArray[np.intp]) -> torch.Tensor:
    pixels_BSS3 = torch.from_numpy(np.ascontiguousarray(test.pixels_NSS3[rows_B]))
    return model.info.preprocess.normalise(pixels_BSS3.to(next(model.network.parameters()).device))


def _group(
    models: Sequence[bundle.Bundle], test: Split, row: int, vocabulary: Sequence[str], limit: int
) -> activation_maps.ImageMaps:
    """Compute the maps of an image's labels; of more than `limit` those whose score differs most between the models."""
    relevant = np.flatnonzero(test.targets_NL[row] > 0)
    inputs = [_input(model, test, np.array([row])) for model in models]
    results = [
        activation_maps.activation_maps(model.network, images_13SS, relevant.tolist())
        for model, images_13SS in zip(models, inputs, strict=True)
    ]
    scores = [probabilities_1L[0].cpu().numpy()[relevant] for _, probabilities_1L in results]
    shown = np.sort(np.argsort(-(scores[-1] - scores[0]), kind="stable")[:limit])
    return activation_maps.ImageMaps(
        show(test, row),
        [vocabulary[label] for label in relevant[shown]],
        [maps_1KHW[0].cpu().numpy()[shown] for maps_1KHW, _ in results],
        [each[shown] for each in scores],
    )
