"""Text in one form for comparisons: a disk, a list and a person may write one name in several.

A Mac's disk and some cameras write `ö` as two characters (NFD), most keyboards as one (NFC). Names are stored as they
are; only what is compared is brought into one form, on both sides.
"""

from unicodedata import combining, normalize

# letters that Unicode does not decompose, as people write them on a keyboard that lacks them
PLAIN = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h"})
# the combining classes of accents of Latin, Greek and Cyrillic begin here; below are parts of letters of other scripts
ACCENTS = 200


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
