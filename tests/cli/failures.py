"""What a command that fails shows."""

from conftest import Result


def failed(result: Result, code: int, *words: str) -> None:
    """Check the exit code, and that stderr is one line that holds `words`."""
    assert result.exit_code == code, result.stderr
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    assert "Traceback" not in lines[0]
    for word in words:
        assert word in lines[0]
