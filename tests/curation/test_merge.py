"""Two ledgers become one: nothing is lost, nothing is there twice, and to merge again changes nothing."""

import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from aaam_pipeline.curation import merge
from aaam_pipeline.curation.merge import has_conflict, merged
from aaam_pipeline.formats.decision_lines import decode
from aaam_pipeline.formats.decisions import Decision, encode, read


def line(image: int, value: Any = "yes", at: str = "") -> bytes:
    return encode(Decision(sha256=f"{image:064x}", label="dog", value=value, by="person", at=at))


def test_lines_are_ordered_by_time_and_those_of_both_are_there_once() -> None:
    common = line(1, at="2020-01-01")
    one = common + line(2, "no", "2020-01-03") + line(3, at="2020-01-05")
    other = common + line(2, "yes", "2020-01-04") + line(4, at="2020-01-02")
    expected = common + line(2, "no", "2020-01-03") + line(2, "yes", "2020-01-04") + line(4, at="2020-01-02")
    assert merged([one, other]) == expected + line(3, at="2020-01-05")
    assert merged([common, common]) == common
    assert merged([b"", common]) == merged([common, b""]) == common
    assert merged([]) == b""


def test_each_ledger_keeps_its_order_whatever_its_clock_says() -> None:
    late_first = line(1, "yes", "2030") + line(1, "clear", "2010") + line(1, "no", "2020")
    found = merged([late_first, line(2, at="2015")])
    assert [each.value for each in decode(found).lines if each.sha256.endswith("1")] == ["yes", "clear", "no"]


@pytest.mark.parametrize("block", [3, 200, 1 << 16])
def test_merging_again_changes_nothing_and_loses_nothing(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "BLOCK", block)
    for seed in range(100):
        chance = random.Random(seed)
        lines = [line(number % 7, chance.choice(["yes", "no"]), str(chance.randint(1000, 1020))) for number in range(9)]
        past = [chance.choice(lines) for _ in range(chance.randint(0, 5))]
        one, other, third = (past + [chance.choice(lines) for _ in range(chance.randint(0, 9))] for _ in range(3))
        ledgers = [b"".join(each) for each in (one, other, third)]
        both = merged(ledgers[:2])
        for each in ledgers[:2]:
            assert merged([both, each]) == both
        found = both.splitlines(keepends=True)
        for each in set(lines):
            assert found.count(each) == max(one.count(each), other.count(each))
        # the first keeps its order also where the two contradict each other
        rest = iter(found)
        assert all(each in rest for each in one)
        assert set(merged(ledgers).splitlines(keepends=True)) == {*one, *other, *third}


def test_what_cannot_be_read_is_kept(tmp_path: Path) -> None:
    found = merged([line(1) + b"oh\n", b"\xef\xbb\xbf" + line(2).replace(b"\n", b"\r\n") + b"\r\n" + b"{cut"])
    assert sorted(found.splitlines(keepends=True)) == sorted([line(1), b"oh\n", line(2), b"{cut\n"])


@pytest.mark.parametrize("style", ["merge", "diff3"])
def test_a_conflict_of_git_becomes_both_sides(style: str, tmp_path: Path) -> None:
    ledger = tmp_path / "decisions.jsonl"

    def git(*words: str) -> int:
        settings = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", f"merge.conflictStyle={style}")
        done = subprocess.run(["git", *settings, *words], cwd=tmp_path, capture_output=True, check=False)
        return done.returncode

    assert git("init", "-q", "-b", "main") == 0
    common = line(1, at="2020") + line(2, at="2021")
    sides = {"main": line(3, at="2023"), "other": line(1, "no", "2022") + line(4, at="2024")}
    ledger.write_bytes(common)
    git("add", ".")
    git("commit", "-qm", "common")
    git("branch", "other")
    for branch, lines in sides.items():
        git("checkout", "-q", branch)
        ledger.write_bytes(common + lines)
        git("commit", "-qam", branch)
    assert git("merge", "-q", "main") != 0
    content = ledger.read_bytes()
    assert has_conflict(content)
    # read as it is, no side is lost, and the marks are named
    found = read(ledger)
    assert found.lines == 5
    assert {fault.why for fault in found.faults} == {"a mark of a conflict of git"}
    expected = common + line(1, "no", "2022") + line(3, at="2023") + line(4, at="2024")
    assert merged([content]) == expected
    assert not has_conflict(expected)
    # with the attribute that docs/decisions.md names, git needs no help
    git("merge", "--abort")
    (tmp_path / ".gitattributes").write_text("decisions.jsonl merge=union\n")
    assert git("merge", "-q", "main") == 0
    ledger.write_bytes(merged([ledger.read_bytes()]))
    assert sorted(ledger.read_bytes().splitlines()) == sorted(expected.splitlines())
