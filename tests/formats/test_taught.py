from pathlib import Path

import numpy as np
import pytest

from aaam_pipeline.core.errors import IntegrityError, UsageError, VersionError
from aaam_pipeline.formats import taught
from aaam_pipeline.formats.calibration import sigmoid
from aaam_pipeline.formats.taught import TaughtLine, TaughtWord

DIM = 8


def line(label: str, seed: int = 0, embedding: str = "0123abcd", ap: float = 0.8) -> TaughtLine:
    word = TaughtWord(
        label, embedding, ["a" * 64] * 12, ["b" * 64], 0.4, ap, 0.6, 0.9, 500, "2026-11-29T10:00:00Z", "lda"
    )
    return TaughtLine(word, np.random.default_rng(seed).normal(size=DIM).astype(np.float32), -1.25)


def same(one: TaughtLine, other: TaughtLine) -> bool:
    return one.word == other.word and np.array_equal(one.weight_D, other.weight_D) and one.bias == other.bias


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path, lines = tmp_path / taught.NAME, [line("mein Hund, \U0001f436"), line("b|c", 1)]
    assert taught.read(path) == []
    taught.write(path, lines)
    found = taught.read(path)
    assert all(map(same, found, lines))
    assert [each.digest for each in found] == [each.digest for each in lines]
    taught.write(path, [])
    assert taught.read(path) == []


def test_scores_are_those_of_the_line_whatever_the_length_of_the_embedding() -> None:
    lines, embedding_ND = [line("a"), line("b", 1)], np.random.default_rng(3).normal(size=(5, DIM))
    unit_ND = embedding_ND / np.linalg.norm(embedding_ND, axis=1, keepdims=True)
    expected_NW = sigmoid(unit_ND @ np.stack([each.weight_D for each in lines]).T - 1.25)
    np.testing.assert_allclose(taught.scores(lines, embedding_ND), expected_NW, atol=1e-6)
    np.testing.assert_allclose(taught.scores(lines, 7 * embedding_ND), expected_NW, atol=1e-6)
    assert taught.scores(lines, np.zeros((1, DIM))).shape == (1, 2)


def test_a_new_word_takes_the_place_of_the_one_of_its_label() -> None:
    lines = [line("Dog"), line("cat", 1)]
    new = line("dog", 2)
    assert [each.word.label for each in taught.replaced(lines, new)] == ["dog", "cat"]
    assert [each.word.label for each in taught.replaced(lines, line("cow"))] == ["Dog", "cat", "cow"]
    assert new.digest != lines[0].digest


def test_words_of_another_embedding_are_left_out() -> None:
    lines = [line("a"), line("b", embedding="ffffffff")]
    assert taught.of_embedding(lines, "0123abcd") == lines[:1]


@pytest.mark.parametrize("place", [0, 1, 20, 200, 400, -1, -5])
def test_no_byte_can_be_changed_without_notice(tmp_path: Path, place: int) -> None:
    path = tmp_path / taught.NAME
    taught.write(path, [line("a"), line("b", 1)])
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(IntegrityError):
        taught.read(path)


def test_half_a_file_a_folder_and_a_newer_one_are_said(tmp_path: Path) -> None:
    path = tmp_path / taught.NAME
    taught.write(path, [line("a")])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(IntegrityError, match="holds no taught words"):
        taught.read(path)
    path.write_bytes(whole.replace(b'"version":"1"', b'"version":"2"'))
    with pytest.raises(VersionError, match="newer version"):
        taught.read(path)
    with pytest.raises(UsageError, match="is a folder"):
        taught.read(tmp_path)
