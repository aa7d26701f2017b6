"""What people mistype: one clear line, the right exit code, nothing on stdout, and no file made or touched."""

from pathlib import Path

import pytest
from conftest import Invoke

# a text, but not in UTF-8
MINE = b"mine, in Latin-1: \xe9"
LONG = "x" * 5000
CASES = [
    (("search", ""), 2, "the query is empty"),
    (("search", "   "), 2, "the query is empty"),
    (("search", "\x1b[31m"), 2, "is not a label"),
    (("search", "grass", "--top", "0"), 2, "--top"),
    (("search", "grass", "--top", "1e3"), 2, "--top"),
    (("search", "grass", "--top", "99999999999999999999"), 2, "top must be"),
    (("search", "grass", "--index", "/dev/null"), 2, "is not an index"),
    (("search", "grass", "--index", LONG), 2, "File name too long"),
    (("search", LONG), 2, "is not a label"),
    (("search", "grass", "--html", "page.jpg"), 2, "ends in .html"),
    (("search", "grass", "--html", "folder.html"), 2, "is a folder"),
    (("search", "grass", "--html", "/proc/page.html"), 2, "cannot write /proc/page.html"),
    (("search", "grass", "--copy-to", ""), 2, "--copy-to is empty"),
    (("search", "grass", "--link-to", LONG), 2, "File name too long"),
    (("search", "grass", "--words", "folder.html"), 2, "cannot read the words file"),
    (("search", "--", "--top"), 2, "is not a label"),
    (("search", "width>1e999"), 2, "this is no number"),
    (("search", "after:2024-13-45"), 2, "this is no date"),
    (("search", "dog>=2"), 2, "between 0 and 1"),
    (("similar", "folder.html"), 2, "folder.html is a folder; name photographs"),
    (("similar", "-"), 2, "no photograph -"),
    (("similar", LONG), 2, "File name too long"),
    (("similar", "a\x00b.jpg"), 2, "no photograph"),
    (("similar", "http://[bad/a.jpg"), 2, "no photograph http://[bad/a.jpg"),
    (("similar", "mine.txt"), 2, "no known image format"),
    (("dedup", "--similarity", "95%"), 2, "--similarity"),
    (("dedup", "--index", "nowhere"), 2, "is not an index"),
    (("labels", "--index", "nowhere"), 2, "is not an index"),
    (("search", "grass", "--decisions", "nowhere.jsonl"), 2, "there are no decisions at nowhere.jsonl"),
    (("health", "--decisions", "nowhere.jsonl"), 2, "there are no decisions at nowhere.jsonl"),
    (("decide", "--from", "nowhere.csv"), 2, "no file nowhere.csv"),
    (("decisions", "import", "nowhere.jsonl"), 2, "no file nowhere.jsonl"),
    (("decisions", "merge", "nowhere.jsonl"), 2, "nowhere.jsonl: no such file"),
    (("model", "export", "--card", "nowhere.md", "--out", "made"), 2, "nowhere.md"),
    (("model", "export", "--card", "mine.txt", "--out", "made"), 2, "mine.txt is not text in UTF-8"),
    (("verify", "nowhere"), 2, "is not an annotations folder"),
    (("verify", "mine.txt"), 2, "is not an annotations folder"),
    (("verify", LONG), 2, "File name too long"),
    (("index", "nowhere"), 2, "is not an annotations folder"),
    (("index", "mine.txt"), 2, "is not an annotations folder"),
]


@pytest.mark.parametrize(("words", "code", "said"), CASES, ids=[" ".join(case[0])[:40] for case in CASES])
def test_a_wrong_input_is_one_clear_line(
    words: tuple[str, ...],
    code: int,
    said: str,
    indexed: Path,
    tmp_path: Path,
    invoke: Invoke,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "mine.txt").write_bytes(MINE)
    monkeypatch.setenv("AAAM_INDEX", str(indexed))
    result = invoke(*words)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert "defect" not in result.stderr
    assert not set(result.stderr) & {"\x1b", "\x00"}
    lines = result.stderr.splitlines()
    # click's own errors have usage lines before them, a query's a caret below
    assert sum(line.lower().startswith("error: ") for line in lines) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.html", "mine.txt"]
    assert (tmp_path / "mine.txt").read_bytes() == MINE
