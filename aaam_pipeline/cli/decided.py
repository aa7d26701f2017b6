"""Photographs as people name them, found as decisions name them: by the SHA-256 of what is in the file.

A file that is away (a disk that is not plugged in, a URL, a picture in a tar) is found in the index by its path.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from aaam_pipeline.cli import render
from aaam_pipeline.core.artifacts import absolute, file_sha256, path_text, real_path
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.portable_paths import located
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.formats.decision_lines import Value, label_key

if TYPE_CHECKING:
    from aaam_pipeline.search.reader import IndexReader

Row = TypeVar("Row")
BLOCK = 10_000
NAMED = 3


class Photo(NamedTuple):
    """A photograph: as it was named, and the hash of its content; `away`: that is from the index."""

    name: str
    sha256: str
    away: bool = False


def photographs(names: Sequence[str], index: "IndexReader | None", report: Reporter) -> list[Photo]:
    """Return photographs by their names, each content once.

    Raises:
        UsageError: a name is none of a file that can be read, nor in the index.
    """
    found: dict[str, Photo] = {}
    with report.task("read photographs", len(names)) as advance:
        for name in names:
            photo = photograph(name, index)
            found.setdefault(photo.sha256, photo)
            advance(1)
    if away := [photo.name for photo in found.values() if photo.away]:
        more = f" and {len(away) - NAMED} more" if len(away) > NAMED else ""
        are = "is not at hand; its hash is" if len(away) == 1 else "are not at hand; their hashes are"
        report.info(f"{', '.join(away[:NAMED])}{more} {are} the index's, of when it was annotated")
    return list(found.values())


def photograph(name: str, index: "IndexReader | None") -> Photo:
    """Return a photograph by its path or URL.

    Raises:
        UsageError: it is no file that can be read, nor in the index.
    """
    shown = path_text(name)
    if "://" not in name:
        path = Path(name)
        try:
            if path.is_dir():
                raise UsageError(f"{shown} is a folder; name photographs, such as {shown.rstrip('/')}/*.jpg")
            if path.is_file():
                _check_kind(path, shown)
                if not path.stat().st_size:
                    # all empty files have one hash: it would be decided of each
                    raise UsageError(f"{shown} has no bytes, and is no photograph; nothing was decided")
                return Photo(shown, file_sha256(path))
        except OSError as error:
            raise UsageError(f"{shown} cannot be read: {error.strerror}; nothing was decided") from None
        except ValueError as error:
            raise UsageError(f"{shown} is no name of a file: {error}") from None
    if index is None:
        raise UsageError(f"no photograph {shown}; nothing was decided")
    sha256 = _of_index(name, index)
    if sha256 is None:
        from aaam_pipeline.search.similar import namesakes

        place = render.near(index.folder)
        meant = [path_text(each if "://" in each else render.near(Path(each))) for each in namesakes(name, index)]
        hint = f"did you mean {' or '.join(meant)}?" if meant else "nothing was decided"
        raise UsageError(f"no photograph {shown}, neither as a file nor in the index {place}; {hint}")
    return Photo(shown, sha256, away=True)


def _check_kind(path: Path, shown: str) -> None:
    from aaam_pipeline.imaging.formats import BEGINNING, SUFFIXES, identify

    if path.suffix.lower() in SUFFIXES:
        return
    with path.open("rb") as stream:
        if identify(stream.read(BEGINNING)) is None:
            raise UsageError(f"{shown} is no photograph; lists of photographs: - (standard input), --from FILE.csv")


def _of_index(name: str, index: "IndexReader") -> str | None:
    from aaam_pipeline.search.similar import id_of

    id = id_of(name, index)
    rows = [] if id is None else index.select("SELECT sha256 FROM images WHERE id = ?", [id])
    return rows[0][0] if rows else None


def blocks(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Yield some thousand rows at a time."""
    return (rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK))


def in_index(index: "IndexReader | None", sha256s: Iterable[str], labels: Iterable[str]) -> dict[str, dict[str, float]]:
    """Return what the model of an index gave photographs and labels, by SHA-256 and label.

    Photographs that the index has not, and labels that its model does not know, are left out.
    """
    if index is None:
        return {}
    from aaam_pipeline.formats import ranking
    from aaam_pipeline.formats.vocabulary import Vocabulary
    from aaam_pipeline.search.reader import as_codes

    known = Vocabulary(index.manifest.labels)
    columns = {label: column for label in labels if (column := known.find(label)) is not None}
    taught = {label: codes for label, column in columns.items() if (codes := index.taught.codes_of(column)) is not None}
    stored = {label: f"s{column}" for label, column in columns.items() if label not in taught}
    names = "".join(f", any_value({name}) AS {name}" for name in dict.fromkeys(stored.values()))
    rows = index.select_columns(
        f"SELECT sha256, min(id) AS id{names} FROM images JOIN scores USING (id) "
        "WHERE sha256 IN (SELECT unnest(?)) GROUP BY sha256",
        [list(sha256s)],
    )
    codes_R = {label: as_codes(rows[name]) for label, name in stored.items()}
    codes_R |= {label: codes_N[rows["id"]] for label, codes_N in taught.items()}
    scores_R = {label: ranking.decode(codes).tolist() for label, codes in codes_R.items()}
    return {
        sha256: {label: scores[row] for label, scores in scores_R.items()} for row, sha256 in enumerate(rows["sha256"])
    }


def locations(index: "IndexReader | None", sha256s: Iterable[str]) -> dict[str, str]:
    """Return where photographs lie, by SHA-256: of those that the index has, the path or URL of one file of each."""
    if index is None:
        return {}
    rows = index.select(
        "SELECT sha256, root, min(path) FROM images WHERE sha256 IN (SELECT unnest(?)) GROUP BY 1, 2 ORDER BY 2",
        [list(sha256s)],
    )
    return {sha256: f"{located(root, index.folder).rstrip('/')}/{path}" for sha256, root, path in reversed(rows)}


def remarks_on_words(words: Sequence[str], index: "IndexReader | None", ledger: Path) -> Iterator[str]:
    """Yield what is to be known of words that the model of an index does not know and nobody has decided before."""
    if index is None:
        return
    from aaam_pipeline.formats import decisions
    from aaam_pipeline.formats.vocabulary import Vocabulary, suggestions
    from aaam_pipeline.search.thesaurus import LabelResolver

    known = Vocabulary(index.manifest.labels)
    new = [word for word in words if known.find(word) is None]
    decided = decisions.read(ledger).labels if new else []
    keys = set(map(label_key, decided))
    unheard = [word for word in new if label_key(word) not in keys]
    resolver = LabelResolver(known)
    for word in unheard[:NAMED]:
        hint = ""
        if meant := [known.labels[id] for id in resolver.find(word)]:
            hint = f"; a search for it is one for {'|'.join(meant)}"
        elif near := suggestions(word, [*known.labels, *decided]):
            hint = f"; did you mean {' or '.join(near)}?"
        yield f"{word!r} is no word of the model: it is kept as a word of your own{hint}"
    if more := len(unheard[NAMED:]):
        yield f"{'one more word is' if more == 1 else f'{more} more words are'} not, either"


def checked_words(yes: Sequence[str], no: Sequence[str], clear: Sequence[str]) -> dict[str, Value]:
    """Return word -> yes, no or clear; words as they were typed, without blanks around them.

    Raises:
        UsageError: a word is empty, or there are two values, or two spellings of one.
    """
    found: dict[str, tuple[str, Value]] = {}
    given: tuple[tuple[Value, Sequence[str]], ...] = (("yes", yes), ("no", no), ("clear", clear))
    for value, words in given:
        for typed in words:
            word = typed.strip()
            check_word(word, f"--{value}")
            before, said = found.setdefault(label_key(word), (word, value))
            if said != value:
                raise UsageError(f"{word!r} is given with --{said} and with --{value}; nothing was decided")
            if before != word:
                raise UsageError(f"{before!r} and {word!r} are one word; name it once")
    if not found:
        raise UsageError("name a word: --yes dog, --no cat, --clear bird")
    return dict(found.values())


def check_word(word: str, where: str) -> None:
    """Check that a text can be a label.

    Raises:
        UsageError: it cannot; the message begins with `where`.
    """
    from aaam_pipeline.core.logging import CONTROLS

    if not label_key(word) or not any(letter.isprintable() and not letter.isspace() for letter in word):
        raise UsageError(f"{where}: a word is empty; nothing was decided")
    try:
        word.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{where} {word!a}: this is not text in UTF-8") from None
    if CONTROLS.search(word):
        raise UsageError(f"{where} {word!r}: a word has no control characters, such as line breaks")


def base_of(name: str, folder: Path) -> str:
    """Return a name in a table as a path from here: those that are not absolute begin in `folder`."""
    if "://" in name or Path(name).is_absolute():
        return name
    return str(real_path(absolute(folder) / name))
