"""Tables of decisions say after a round trip what they said before, whatever the words are."""

import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.formats.decision_tables import read_rows, write_rows, write_table

# what a label can be: control characters and blanks around it are none
TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1).filter(
    lambda text: text == text.strip()
)
ROW = st.fixed_dictionaries(
    {
        "sha256": st.binary(min_size=32, max_size=32).map(bytes.hex),
        "image": TEXT,
        "label": TEXT,
        "value": st.sampled_from(["yes", "no", "clear"]),
        "by": st.sampled_from(["person", "file", "model"]),
        "source": TEXT,
        "at": st.just("2026-11-29T10:00:00Z"),
        "model": st.none() | TEXT,
        "score": st.none() | st.floats(0, 1),
    }
)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(ROW, max_size=5), as_json=st.booleans())
def test_what_is_written_is_read_again(
    rows: list[dict[str, Any]], as_json: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / ("table.jsonl" if as_json else "table.csv")
    assert write_table(rows, path, as_json) == len(rows)
    found = [row._asdict() for row in read_rows(path)]
    assert [{name: row[name] for name in each} for row, each in zip(found, rows, strict=True)] == rows
    text = io.StringIO()
    write_rows(rows, text, as_json)
    assert path.read_text(encoding="utf8") == text.getvalue()


def test_a_table_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("before")
    with pytest.raises(AttributeError):
        write_table([None], path, as_json=False)  # type: ignore[list-item]
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("image,label\na,dog\n", [("a", "dog", "yes")]),
        ("\ufeffPath;Keyword;Value\r\na;dog;TRUE\r\n\r\nb;dog;-1\r\nc;dog;\r\n", [("a", "dog", "yes")]),
        ("image\tdog\tcat\na\t1\t0\nb\t\tclear\n", [("a", "dog", "yes"), ("a", "cat", "no"), ("b", "cat", "clear")]),
        ('image,label,value\n"a, b.jpg","say ""no""",no\n', [("a, b.jpg", 'say "no"', "no")]),
        ("image,label,value\na,,yes\na,'=x,1.0\n", [("a", "=x", "yes")]),
    ],
)
def test_tables_of_other_programs_are_read(text: str, expected: list[tuple[str, str, str]], tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode())
    assert [(row.image, row.label, row.value) for row in read_rows(path)] == expected


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_quotation_mark_that_nothing_closes_is_no_silent_end(end: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f'image,label\na,dog\nb,"cat{end}')
    with pytest.raises(
        UsageError, match=r"t\.csv cannot be read as CSV: a cell begins with a quotation mark that noth"
    ):
        list(read_rows(path))
    path.write_text(f'image,label\na,dog\nb,"cat"{end}')
    assert [(row.line, row.label) for row in read_rows(path)] == [(2, "dog"), (3, "cat")]


def test_a_line_of_json_may_have_other_fields(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"image": "a", "label": "dog", "value": true, "score": 1, "width": 300}\n\n')
    [row] = read_rows(path)
    assert (row.value, row.score, row.line) == ("yes", 1.0, 1)
    path.write_text('{"sha256": "%s", "same_as": "%s"}' % ("a" * 64, "b" * 64))  # noqa: UP031
    with pytest.raises(UsageError, match="is a ledger, not a table: aaam-pipe decisions merge"):
        list(read_rows(path))
