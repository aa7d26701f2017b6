"""Names of files as text: one for each, back again, and shown so that it deceives nobody."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaam_pipeline.core.artifacts import path_text, real_path
from aaam_pipeline.core.logging import printable, printable_lines

ODD = [
    rb"x\xff.jpg", b"x\xff.jpg", rb"x\x5cxff.jpg", b"x\xff\\x5c.jpg", b"\\\xff", rb"\x\xff", rb"\x5c", rb"\x5cx5c",
    rb"\\xff", rb"\x41", "ä\\xe4".encode(), b"\xe4\\xc3\xa4", b"\\x5\xff",
]  # fmt: skip


def test_no_two_names_have_one_text() -> None:
    texts = [path_text(os.fsdecode(name)) for name in ODD]
    assert len(set(texts)) == len(ODD)
    assert path_text(os.fsdecode(b"x\xff.jpg")) == r"x\xff.jpg"
    assert path_text(r"x\xff.jpg") == r"x\x5cxff.jpg"
    assert path_text("ä\\b.jpg") == "ä\\b.jpg"


LETTERS = "\u05d0\u0645\u06cc\u200c\u062e \U0001f468\u200d\U0001f469"
PIECES = st.sampled_from([b"\\", b"x", b"5c", b"ff", b"\xff", b"\xc3", b"\xa4", b"a", b"0", b"\\x"])


@given(st.lists(PIECES, min_size=1, max_size=12).map(b"".join))
def test_a_text_leads_back_to_its_name(name: bytes) -> None:
    text = path_text(os.fsdecode(name))
    assert text.isprintable()
    assert os.fsencode(real_path(Path(text))) == name


def test_a_row_of_version_2_with_a_backslash_finds_its_file(tmp_path: Path) -> None:
    literal = tmp_path / r"x\xff.jpg"
    literal.touch()
    assert real_path(literal) == literal
    (tmp_path / os.fsdecode(b"x\xff.jpg")).touch()
    assert os.fsencode(real_path(literal).name) == b"x\xff.jpg"
    assert real_path(Path(path_text(literal))) == literal


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("a\u2066b\u2069", "a\\u2066b\\u2069"),
        ("a\u2028b\x1b[2J\x9b", "a\\u2028b\\x1b[2J\\x9b"),
        (os.fsdecode(b"\xff"), "\\xff"),
        # as they are: letters of every script, emoji of several signs
        (LETTERS, LETTERS),
    ],
)  # fmt: skip
def test_what_could_deceive_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable_lines(f"{text}\n") == f"{shown}\n"
    assert printable_lines(7) == 7
