"""Text in one form for comparisons: a disk, a list and a person may write one name in several.

A Mac's disk and some cameras write `ö` as two characters (NFD), most keyboards as one (NFC). Names are stored as they
are; only what is compared is brought into one form, on both sides.
"""

from unicodedata import combining, normalize

# letters that Unicode does not decompose and typographic marks, as people write them on a keyboard that lacks them
PLAIN = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h"}
    | dict.fromkeys("’‘‛′", "'")
    | dict.fromkeys("“”„‟″", '"')
    | dict.fromkeys("‐‑–", "-")
)
# the combining classes of accents of Latin, Greek and Cyrillic begin here; below are parts of letters of other scripts
ACCENTS = 200


def counted(number: int, noun: str, form: str = "") -> str:
    """Return a number with a noun, the plural of which ends with `s`: 1 image, 2 images, 2,000 images (`form` ",")."""
    return f"{number:{form}} {noun}{'' if number == 1 else 's'}"


def nfc(text: str) -> str:
    """Return a text in Unicode's composed form: for comparisons in which case counts, as of paths."""
    return text if text.isascii() else normalize("NFC", text)


def folded(text: str) -> str:
    """Return a text without case, composed: for comparisons in which case does not count, as of labels.

    Two texts are a canonical caseless match (Unicode 3.13, D145) exactly where these are equal.
    """
    return text.casefold() if text.isascii() else normalize("NFC", normalize("NFD", text).casefold())


def unaccented(text: str) -> str:
    """Return a text without case and accents (`vogel` for `Vögel`): for matches of last resort."""
    if text.isascii():
        return text.casefold()
    apart = normalize("NFD", folded(text))
    return normalize("NFC", "".join(each for each in apart if combining(each) < ACCENTS)).translate(PLAIN)


def edits(one: str, other: str, most: int) -> int:
    """Return how many letters must be inserted, deleted, replaced or swapped with their neighbour; more than `most` is
    `most` + 1 (the optimal string alignment distance).
    """
    if abs(len(one) - len(other)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        above, before, row = before, row, [i]
        for j, match in enumerate(other, 1):
            best = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != match))
            if i > 1 and j > 1 and letter == other[j - 2] and match == one[i - 2]:
                best = min(best, above[j - 2] + 1)
            row.append(best)
        if min(row) > most:
            return most + 1
    return min(row[-1], most + 1)


def gigabytes(bytes: int) -> str:
    """Return a size for people."""
    return f"{bytes / 1e9:,.1f} GB" if bytes >= 10**8 else f"{max(bytes, 0) / 1e6:,.1f} MB"
