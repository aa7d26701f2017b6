"""What keywords and exports take of annotations: which photographs are decided, and which labels are asked for."""

import hashlib

import pytest

from aaam_pipeline.core.errors import UnknownLabelError, UsageError
from aaam_pipeline.exchange.annotated import are_decided, asked_labels
from aaam_pipeline.formats.decisions import Decision, resolve

HASHES = [hashlib.sha256(bytes([number])).hexdigest() for number in range(40)]
KNOWN = {"dog": "dog", "salt, pepper": "Salt, pepper", "cat": "cat"}


def test_photographs_are_decided_that_the_ledger_names() -> None:
    decided = [Decision(sha256=each, label="dog", value="no", by="person") for each in HASHES[::3]]
    contents = resolve(decided).contents()
    asked = [None, *HASHES, HASHES[0], None]
    expected = [each is not None and each in HASHES[::3] for each in asked]
    assert are_decided(asked, contents).tolist() == expected
    assert are_decided([None], contents).tolist() == [False]
    assert are_decided(asked, resolve([]).contents()).tolist() == [False] * len(asked)


def test_a_label_may_hold_a_comma() -> None:
    assert asked_labels(["SALT,  pepper", "cat, dog,", "dog"], KNOWN) == ["salt, pepper", "cat", "dog"]


def test_labels_that_nobody_knows_and_no_labels_are_refused() -> None:
    with pytest.raises(UnknownLabelError, match="dot"):
        asked_labels(["dog,dot"], KNOWN)
    with pytest.raises(UsageError, match="names no label"):
        asked_labels([" , "], KNOWN)
