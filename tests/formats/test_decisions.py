"""A ledger of decisions: whose word holds, and what a line that cannot be read costs."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aaam_pipeline.formats import decision_lines
from aaam_pipeline.formats.decisions import Decision, Inheritance, Verdict, digests, encode, read, resolve


def sha(name: object) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


def said(image: object, value: Any, label: str = "dog", by: Any = "person", **more: Any) -> Decision:
    return Decision(sha256=sha(image), label=label, value=value, by=by, **more)


def same(new: object, old: object) -> Inheritance:
    return Inheritance(sha256=sha(new), same_as=sha(old))


def value(entries: list[Decision | Inheritance], image: object = 1) -> str | None:
    verdict = resolve(entries).of_image(sha(image)).get("dog")
    return verdict and verdict.value


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([("yes", "person"), ("no", "file"), ("no", "model")], "yes"),
        ([("no", "model"), ("no", "file"), ("yes", "person")], "yes"),
        ([("yes", "file"), ("no", "model")], "yes"),
        ([("yes", "person"), ("no", "person")], "no"),
        ([("no", "file"), ("yes", "file")], "yes"),
        # what is taken back: the same rank and those below, said before
        ([("yes", "person"), ("clear", "person")], None),
        ([("yes", "file"), ("clear", "person")], None),
        ([("yes", "person"), ("clear", "file")], "yes"),
        ([("no", "file"), ("yes", "person"), ("clear", "person")], None),
        ([("no", "file"), ("yes", "model"), ("clear", "model")], "no"),
        ([("yes", "person"), ("clear", "person"), ("no", "file")], "no"),
        ([("clear", "person"), ("yes", "model")], "yes"),
        ([("clear", "person")], None),
    ],
)
def test_a_person_outranks_a_file_and_a_file_a_model(lines: list[tuple[Any, Any]], expected: str | None) -> None:
    assert value([said(1, what, by=by) for what, by in lines]) == expected


def test_the_order_of_many_photographs_and_labels_is_that_of_a_dictionary() -> None:
    chance = np.random.default_rng(1)
    images, labels, ranks = range(40), ["dog", "cat", "bird"], ["model", "file", "person"]
    entries = [
        said(chance.choice(images), chance.choice(["yes", "no", "clear"]), chance.choice(labels), chance.choice(ranks))
        for _ in range(3000)
    ]
    state: dict[tuple[str, str], dict[str, str]] = {}
    for each in entries:
        pair = state.setdefault((each.sha256, each.label), {})
        if each.value == "clear":
            for rank in ranks[: ranks.index(each.by) + 1]:
                pair.pop(rank, None)
        else:
            pair[each.by] = each.value
    last = {key: next((pair[rank] for rank in reversed(ranks) if rank in pair), None) for key, pair in state.items()}
    found = resolve(entries)
    hashes = [sha(image) for image in images]
    expected = [[{"yes": 1, "no": 0, None: -1}[last.get((one, label))] for label in labels] for one in hashes]
    np.testing.assert_array_equal(found.matrix(hashes, labels), expected)
    assert len(found) == sum(each is not None for each in last.values())
    for label in labels:
        for digest_N, name in zip(found.of_label(label), ("yes", "no"), strict=True):
            assert digest_N.dtype == "S32"
            chosen = sorted(bytes.fromhex(one) for (one, other), what in last.items() if (other, what) == (label, name))
            assert digest_N.tobytes() == b"".join(chosen)


def test_a_content_that_came_of_another_is_the_same_photograph() -> None:
    # a chain, decisions on both sides of it, before and after
    entries = [said("a", "yes"), same("b", "a"), same("c", "b"), said("c", "no", "cat"), said("a", "yes", "bird")]
    found = resolve(entries)
    for name in "abc":
        values = {label: verdict.value for label, verdict in found.of_image(sha(name)).items()}
        assert values == {"dog": "yes", "cat": "no", "bird": "yes"}
    assert found.of_label("dog")[0].tobytes() == b"".join(sorted(bytes.fromhex(sha(name)) for name in "abc"))
    assert len(found) == 3
    # a later line on either content wins; rings and two origins end
    assert value([*entries, said("b", "no")], "a") == "no"
    assert value([said(1, "yes"), same(1, 2), same(2, 3), same(3, 1), same(3, 3)], 3) == "yes"
    assert value([said(1, "yes"), same(3, 1), said(2, "no"), same(3, 2)], 1) == "no"
    # all orders of long chains in both directions
    links = [(number, number + 1) for number in range(60)]
    for seed in range(5):
        mixed = np.random.default_rng(seed).permutation(links)
        assert value([said(30, "yes"), *(same(*each) for each in mixed)], 60) == "yes"
        assert value([said(30, "yes"), *(same(*each[::-1]) for each in mixed)], 0) == "yes"
    assert value([same(1, 2)]) is None


def test_a_verdict_says_who_when_and_what_the_model_gave() -> None:
    line = said(1, "no", by="file", source="xmp", at="2026-11-29T10:00:00Z", model="net-1", score=0.25)
    found = resolve([said(1, "yes", by="model"), line]).of_image(sha(1))
    assert found == {"dog": Verdict("no", "file", "xmp", "2026-11-29T10:00:00Z", "net-1", 0.25)}
    assert resolve([said(1, "yes")]).of_image(sha(1))["dog"] == Verdict("yes", "person", "", "")


def test_all_that_is_decided_is_listed_in_the_order_of_the_lines() -> None:
    found = resolve([said(3, "no"), said(1, "yes"), same(9, 1), said(3, "yes"), said(2, "no", "cat"), said(2, "clear")])
    listed = [(sha256, label, verdict.value) for sha256, label, verdict in found.verdicts()]
    assert listed == [(sha(1), "dog", "yes"), (sha(3), "dog", "yes"), (sha(2), "cat", "no")]
    assert found.same_photograph(sha(9)) == found.same_photograph(sha(1)) == sorted([sha(1), sha(9)])
    assert found.same_photograph(sha(2)) == [sha(2)]
    assert found.same_photograph(sha(77)) == [sha(77)]
    assert list(resolve([]).verdicts()) == []


def test_labels_are_compared_without_case_form_and_repeated_blanks() -> None:
    found = resolve([said(1, "yes", "Küste"), said(1, "no", "kU\u0308ste"), said(2, "yes", "New  York")])
    assert found.labels == ["Küste", "New  York"]
    assert found.of_image(sha(1))["Küste"].value == "no"
    assert len(found.of_label("KÜSTE")[1]) == 1
    assert len(found.of_label("new york")[0]) == 1
    assert "Küste".encode() in encode(said(1, "yes", "Ku\u0308ste"))
    np.testing.assert_array_equal(found.matrix([sha(1)], ["küste", "lake"]), [[0, -1]])


def test_hashes_that_end_in_zero_bytes_are_whole() -> None:
    zero = "ab" * 31 + "00"
    found = resolve([Decision(sha256=zero, label="dog", value="yes", by="person")])
    assert found.of_label("dog")[0].tobytes().hex() == zero
    np.testing.assert_array_equal(found.matrix([zero, sha(1)], ["dog"]), [[1], [-1]])
    assert found.of_image(zero)
    assert not found.of_image("ab" * 31 + "01")
    assert digests([zero.upper()]).tobytes().hex() == zero


def test_hashes_that_begin_alike_are_told_apart() -> None:
    chance = np.random.default_rng(1)
    hashes = ["ab" * 8 + chance.bytes(24).hex() for _ in range(20)] + [chance.bytes(32).hex() for _ in range(20)]
    values = ["yes", "no"] * 20
    found = resolve(
        Decision(sha256=hashes[number], label="dog", value=values[number], by="person")  # type: ignore[arg-type]
        for number in chance.permutation(40)
    )
    np.testing.assert_array_equal(found.matrix(hashes, ["dog"])[:, 0], [1, 0] * 20)
    assert found.contents().tobytes().hex() == "".join(sorted(hashes))


@pytest.mark.parametrize(
    "entry",
    [
        Decision(sha256="ab", label="dog", value="yes", by="person"),
        Decision(sha256=sha(1), label=" ", value="yes", by="person"),
        Inheritance(sha256=sha(1), same_as="ab"),
    ],
)
def test_what_could_not_be_read_is_not_written(entry: Decision | Inheritance) -> None:
    with pytest.raises(ValueError, match=r"its label is empty|64 hexadecimal digits"):
        encode(entry)


def test_what_is_not_there_or_empty_decides_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for found in (read(tmp_path / "none"), read(tmp_path / "empty"), resolve([])):
        assert (len(found), found.labels, found.lines, found.skipped, found.remarks()) == (0, [], 0, 0, [])
        assert found.of_image(sha(1)) == {}
        assert [len(each) for each in found.of_label("dog")] == [0, 0]
        np.testing.assert_array_equal(found.matrix([sha(1)], ["dog"]), [[-1]])
        assert found.matrix([], []).shape == (0, 0)
        assert len(found.contents()) == 0


WHOLE = encode(said(1, "yes")), encode(said(2, "no", "cat"))
OTHER = json.loads(WHOLE[0])


@pytest.mark.parametrize(
    "damaged",
    [
        b"{",
        b"\0" * 40,
        b"[]",
        b"\xff\xfe" + WHOLE[0][:-1],
        WHOLE[0][:-9],
        WHOLE[0][:50] + WHOLE[0][:-1],
        json.dumps(OTHER | {"value": "maybe"}).encode(),
        json.dumps(OTHER | {"by": "dog"}).encode(),
        json.dumps(OTHER | {"label": " "}).encode(),
        json.dumps(OTHER | {"label": None}).encode(),
        json.dumps(OTHER | {"label": "\ud800"}).encode(),
        json.dumps(OTHER | {"score": "high"}).encode(),
        json.dumps(OTHER | {"sha256": "ab"}).encode(),
        json.dumps(OTHER | {"sha256": "g" * 64}).encode(),
        json.dumps(OTHER | {"sha256": "ab " + "a" * 61}).encode(),
        json.dumps(OTHER | {"same_as": sha(1)}).encode(),
        json.dumps({"sha256": sha(1), "same_as": "x"}).encode(),
        json.dumps({"sha256": sha(1), "label": "dog", "by": "person"}).encode(),
        json.dumps({"sha256": sha(1)}).encode(),
        b"<<<<<<< HEAD",
        b"=======",
    ],
)
def test_a_damaged_line_costs_itself_alone(tmp_path: Path, damaged: bytes) -> None:
    ledger = tmp_path / "decisions.jsonl"
    ledger.write_bytes(WHOLE[0] + damaged + b"\n\n" + WHOLE[1])
    found = read(ledger)
    assert (found.lines, found.skipped, found.cut) == (2, 1, False)
    assert found.labels == ["dog", "cat"]
    assert [fault.line for fault in found.faults] == [2]
    [remark] = found.remarks()
    assert remark.startswith("decisions: 1 line left out, which cannot be read: line 2 (")


def test_a_cut_last_line_is_left_out_and_a_whole_one_without_an_end_is_not(tmp_path: Path) -> None:
    ledger = tmp_path / "decisions.jsonl"
    for cut in range(1, len(WHOLE[1])):
        ledger.write_bytes(WHOLE[0] + WHOLE[1][:cut])
        found, whole = read(ledger), cut == len(WHOLE[1]) - 1
        assert (found.lines, found.skipped, found.cut) == ((2, 0, False) if whole else (1, 1, True))
    assert read(ledger).labels == ["dog", "cat"]


def test_a_ledger_of_an_editor_or_a_newer_version_is_read(tmp_path: Path) -> None:
    ledger = tmp_path / "decisions.jsonl"
    newer = json.dumps(OTHER | {"why": ["a field of another version"], "sha256": sha(1).upper(), "score": 1})
    ledger.write_bytes(b"\xef\xbb\xbf" + newer.encode() + b"\r\n\r\n" + WHOLE[1].replace(b"\n", b"\r\n"))
    found = read(ledger)
    assert (found.lines, found.skipped) == (2, 0)
    assert found.of_image(sha(1))["dog"].score == 1.0


def test_lines_of_many_blocks_are_numbered_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = tmp_path / "decisions.jsonl"
    lines = [encode(said(number, "yes", "hair" if number % 2 else "dog")) for number in range(50)]
    lines[20] = lines[33] = b"oh\n"
    ledger.write_bytes(b"".join(lines))
    for size in (100, 157, 1000, 1 << 20):
        monkeypatch.setattr(decision_lines, "BLOCK_BYTES", size)
        found = read(ledger)
        assert [fault.line for fault in found.faults] == [21, 34]
        assert (found.lines, len(found), found.skipped) == (48, 48, 2)
        assert found.labels == ["dog", "hair"]


def test_of_a_label_by_those_who_said_it() -> None:
    said = [(1, "yes", "file"), (2, "yes", "person"), (3, "no", "person"), (4, "yes", "file"), (4, "no", "person")]
    found = resolve(
        Decision(sha256=f"{row:064x}", label="dog", value=value, by=by)  # type: ignore[arg-type]
        for row, value, by in said
    )

    def rows(by: str | None) -> list[list[int]]:
        return [[int.from_bytes(each.ljust(32, b"\0")) for each in part] for part in found.of_label("dog", by)]  # type: ignore[arg-type]

    assert rows(None) == [[1, 2], [3, 4]]
    assert rows("file") == [[1], []]
    assert rows("person") == [[2], [3, 4]]
    assert rows("model") == [[], []]
