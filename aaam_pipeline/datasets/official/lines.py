"""Official text files of one name a line: lists of images, vocabularies."""

from pathlib import Path

from aaam_pipeline.core.errors import DatasetError


def read_lines(path: Path, what: str) -> list[str]:
    """Return a file's lines without blanks around them; empty ones at its end do not count.

    Raises:
        DatasetError: it is not text, is empty, or a line is empty or there twice; `what` a line is ("image").
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf8").rstrip().splitlines()]
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is damaged: it is not text (byte {error.start})") from None
    if not lines:
        raise DatasetError(f"{path} is empty")
    first: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line:
            raise DatasetError(f"{path}, line {number}: it is empty")
        if line in first:
            raise DatasetError(f"{path}, line {number}: the {what} {line!r} is in line {first[line]} already")
        first[line] = number
    return lines
