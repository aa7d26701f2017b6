"""Groups of copies: against the rule written out in Python, and what their files are at that moment."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search.fake_reader import FakeReader

from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.imaging.hashes import SIMILARITY, distance
from aaam_pipeline.search import hash_pairs
from aaam_pipeline.search.duplicates import DuplicateGroup, find_duplicates, surplus

# rows behind URLs: nothing is looked at on a disk
ROOT = "s3://bucket"
Row = dict[str, Any]


def bits(a: str, b: str) -> int:
    return (int(a, 16) ^ int(b, 16)).bit_count()


def hash_of(number: int) -> str:
    return f"{number % 2**256:064x}"


def groups_of(rows: list[Row], similarity: float = SIMILARITY) -> list[DuplicateGroup]:
    return find_duplicates(FakeReader(rows), NullReporter(), similarity).groups


def paths(groups: list[DuplicateGroup]) -> list[list[str]]:
    return [[image.hit.path for image in group.images] for group in groups]


def order(row: Row) -> tuple[Any, ...]:
    linked = row.get("link_target") is not None and not row["link_target"].endswith("/" + row["path"])
    return linked, -row["width"] * row["height"], -row["bytes"], row["path"]


def reference(rows: list[Row], most: int) -> list[list[str]]:
    """In the order in which they are kept, each content not yet taken takes all after it that are like it."""
    contents: dict[str, list[Row]] = {}
    for row in sorted(rows, key=order):
        contents.setdefault(row["sha256"], []).append(row)
    left, groups = list(contents.values()), []
    while left:
        first, *left = left
        mine = [each for each in left if alike(first[0], each[0], most)]
        left = [each for each in left if each not in mine]
        group = [row["path"] for each in (first, *mine) for row in each]
        groups += [group] if len(group) > 1 else []
    return sorted(groups, key=lambda group: (-len(group), group[0]))


def alike(one: Row, other: Row, most: int) -> bool:
    if one["phash"] is None or other["phash"] is None:
        return False
    ratio = one["width"] / one["height"] / (other["width"] / other["height"])
    return 1 / 1.2 < ratio < 1.2 and bits(one["phash"], other["phash"]) <= most


@st.composite
def libraries(draw: st.DrawFn) -> list[Row]:
    """Pictures near a few others in the space of hashes, in several sizes and copies, some without a hash."""
    chance = np.random.default_rng(draw(st.integers(0, 2**32)))
    centres = [int.from_bytes(chance.bytes(32), "big") for _ in range(3)]
    contents = []
    for number in range(draw(st.integers(1, 12))):
        hashed = centres[chance.integers(3)]
        for bit in chance.permutation(256)[: chance.choice([0, 3, 30, 60, 61])]:
            hashed ^= 1 << int(bit)
        width, height = [(400, 300), (300, 400), (440, 300), (800, 600)][chance.integers(4)]
        facts = {"width": width, "height": height, "bytes": int(chance.choice([10, 20])), "sha256": f"{number:x}"}
        contents.append(facts | {"phash": None if chance.random() < 0.1 else hash_of(hashed)})
    rows = []
    for number in range(draw(st.integers(1, 20))):
        row = contents[chance.integers(len(contents))] | {"path": f"{number:02}.jpg", "root": ROOT, "labels": []}
        rows.append(row | {"link_target": "/elsewhere/x.jpg" if chance.random() < 0.2 else None})
    return rows


@settings(max_examples=150, deadline=None)
@given(libraries(), st.sampled_from([0, 3, 60, 120]), st.sampled_from([(1, 1), (3, 2), (128, 64)]))
def test_groups_are_those_of_the_rule_and_have_no_chains(rows: list[Row], most: int, blocks: tuple[int, int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hash_pairs, "BLOCK", blocks[0])
        patch.setattr(hash_pairs, "RENEWED", blocks[1])
        groups = groups_of(rows, 1 - most / 256)
    assert paths(groups) == reference(rows, most)
    named = {row["path"]: row for row in rows}
    for group in groups:
        first = named[group.images[0].hit.path]
        seen: set[str] = set()
        for image, identical in zip(group.images, group.identical(), strict=True):
            row = named[image.hit.path]
            if row["sha256"] != first["sha256"]:
                assert bits(row["phash"], first["phash"]) <= most
                assert image.hit.score == 1 - bits(row["phash"], first["phash"]) / 256
            else:
                assert image.hit.score == 1
            assert identical == (row["sha256"] in seen)
            seen.add(row["sha256"])


def row(path: str, number: int | None, sha256: str = "", **facts: Any) -> Row:
    shape = {"width": 40, "height": 30, "bytes": 10, "labels": [], "root": ROOT}
    return (
        shape | {"path": path, "phash": None if number is None else hash_of(number), "sha256": sha256 or path} | facts
    )


def test_what_is_like_a_member_but_not_like_the_first_is_no_member() -> None:
    chain = [row(f"{number}.jpg", (1 << 50 * number) - 1) for number in range(5)]
    assert paths(groups_of(chain)) == [["0.jpg", "1.jpg"], ["2.jpg", "3.jpg"]]


def test_images_without_a_hash_are_counted_and_compared_byte_for_byte() -> None:
    rows = [row("a", None), row("b", None), row("c", None, "same"), row("d", None, "same"), row("e", 0), row("f", 1)]
    found = find_duplicates(FakeReader(rows), NullReporter())
    assert paths(found.groups) == [["c", "d"], ["e", "f"]]
    assert (found.unhashed, found.gone, found.counts()) == (4, 0, (1, 1))


def test_a_copy_whose_hash_was_made_by_an_earlier_version_counts_with_its_copies() -> None:
    rows = [row("a", None, "same"), row("b", 0, "same"), row("c", 3)]
    assert paths(groups_of(rows)) == [["a", "b", "c"]]


def test_a_hash_that_is_none_is_no_hash() -> None:
    rows = [row("a", 0) | {"phash": "not hexadecimal at all"}, row("b", 0) | {"phash": "00"}, row("c", 0)]
    assert groups_of(rows) == []


def test_nothing_elsewhere_is_offered() -> None:
    rows = [row(name, 0, "same") for name in "abc"] + [row("d", 1)]
    groups = groups_of(rows)
    assert paths(groups) == [["a", "b", "c", "d"]]
    assert surplus(groups) == surplus(groups, near=True) == []


def test_a_similarity_is_a_number_of_bits() -> None:
    assert [distance(1 - most / 256) for most in range(256)] == list(range(256))
    assert (distance(SIMILARITY), distance(0.999), distance(0.5)) == (60, 0, 128)


@pytest.mark.parametrize("similarity", [0, -1, 1.01, float("nan")])
def test_a_similarity_that_is_none_is_refused(similarity: float) -> None:
    with pytest.raises(UsageError, match="above 0 and at most 1"):
        groups_of([row("a", 0)], similarity)
