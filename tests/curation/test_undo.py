"""To take decisions back makes the ledger mean what it would without them, whatever was decided before and after."""

import random
from pathlib import Path
from typing import Any

from aaam_pipeline.curation.ledger import Ledger
from aaam_pipeline.curation.undo import UNDO, batches, take_back
from aaam_pipeline.formats.decisions import Decision, Inheritance, read, resolve


def said(image: int, value: Any, batch: str = "", label: str = "dog", by: Any = "person", **more: Any) -> Decision:
    return Decision(sha256=f"{image:064x}", label=label, value=value, by=by, batch=batch, **more)


def meaning(found: Any) -> list[tuple[Any, ...]]:
    return sorted((sha256, label, verdict.value, verdict.by) for sha256, label, verdict in found.verdicts())


def undo(ledger: Ledger, batch: str) -> None:
    before = ledger.path.read_bytes()
    assert ledger.append(take_back(ledger.path, batch))
    assert ledger.path.read_bytes().startswith(before)


def test_what_was_before_is_back_with_its_time_and_source(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "decisions.jsonl")
    ledger.append(
        [said(1, "yes", "a", by="file", source="xmp"), said(1, "no", "b", source="anna", at="2020"), said(2, "no", "b")]
    )
    ledger.append([said(1, "yes", "c"), said(2, "clear", "c")])
    assert meaning(read(ledger.path)) == [(f"{1:064x}", "dog", "yes", "person")]
    undo(ledger, "c")
    verdict = read(ledger.path).of_image(f"{1:064x}")["dog"]
    assert (verdict.value, verdict.source, verdict.at) == ("no", "anna", "2020")
    assert read(ledger.path).of_image(f"{2:064x}")["dog"].value == "no"
    undo(ledger, "b")
    # a person's decision is gone, and the file's is what it was
    assert meaning(read(ledger.path)) == [(f"{1:064x}", "dog", "yes", "file")]
    undo(ledger, "a")
    assert meaning(read(ledger.path)) == []
    assert [(each.id, each.undone) for each in batches(ledger.path)] == [("a", True), ("b", True), ("c", True)]
    undo(ledger, UNDO + "b")
    assert [(each.id, each.undone) for each in batches(ledger.path)] == [("a", True), ("b", False), ("c", True)]
    assert [each[2:] for each in meaning(read(ledger.path))] == [("no", "person")] * 2


def test_to_take_back_what_changed_nothing_is_remembered(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "decisions.jsonl")
    for batch in "ab":
        ledger.append([said(1, "yes", batch)])
    undo(ledger, "b")
    assert [each.undone for each in batches(ledger.path)] == [False, True]
    assert len(meaning(read(ledger.path))) == 1
    ledger.append([said(1, "clear", "c"), said(9, "clear", "c")])
    undo(ledger, "c")
    assert [each.undone for each in batches(ledger.path)] == [False, True, True]
    assert len(meaning(read(ledger.path))) == 1


def test_lines_that_name_no_batch_are_taken_back_by_their_time_and_source(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    line = '{"sha256": "%064x", "label": "dog", "value": "yes", "by": "person", "at": "2020", "source": "anna"}\n'
    path.write_text(line % 1 + line % 2)
    [batch] = batches(path)
    assert batch == ("2020 anna", 2, "2020", "anna", False)
    undo(Ledger(path), batch.id)
    assert meaning(read(path)) == []
    assert take_back(path, "no such batch") == []
    assert batches(tmp_path / "none") == []


def test_contents_of_one_photograph_are_taken_back_together(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "decisions.jsonl")
    ledger.append(
        [said(1, "yes", "a"), Inheritance(sha256=f"{2:064X}", same_as=f"{1:064x}", batch="x"), said(2, "no", "b")]
    )
    undo(ledger, "b")
    found = read(ledger.path)
    assert [found.of_image(f"{each:064x}")["dog"].value for each in (1, 2)] == ["yes", "yes"]


def test_any_order_of_decisions_and_undoing_means_what_counts(tmp_path: Path) -> None:
    for seed in range(20):
        chance = random.Random(seed)
        ledger, made = Ledger(tmp_path / f"{seed}.jsonl"), dict[str, list[Decision]]()
        order: list[str] = []
        undone: set[str] = set()

        def counts(batch: str, undone: set[str] = undone) -> bool:
            return UNDO + batch not in undone or not counts(UNDO + batch)

        for step in range(12):
            if made and chance.random() < 0.4:
                batch = chance.choice([*made, *undone])
                if counts(batch):
                    undo(ledger, batch)
                    while UNDO + batch in undone:
                        batch = UNDO + UNDO + batch
                    undone.add(UNDO + batch)
                else:
                    assert take_back(ledger.path, batch) == []
            else:
                made[f"b{step}"] = [
                    said(
                        chance.randint(1, 3),
                        chance.choice(["yes", "no", "clear"]),
                        f"b{step}",
                        chance.choice(["dog", "DOG", "cat"]),
                        chance.choice(["person", "file", "model"]),
                    )
                    for _ in range(chance.randint(1, 4))
                ]
                order.append(f"b{step}")
                ledger.append(made[f"b{step}"])
            counting = resolve(line for batch in order if counts(batch) for line in made[batch])
            folded = [(sha256, label.lower(), *rest) for sha256, label, *rest in meaning(read(ledger.path))]
            assert sorted(folded) == sorted((one, label.lower(), *rest) for one, label, *rest in meaning(counting))
            assert {each.id for each in batches(ledger.path) if not each.undone} == {
                each for each in order if counts(each)
            }
