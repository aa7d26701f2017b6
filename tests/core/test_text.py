from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaam_pipeline.core.text import counted, edits, folded, nfc, unaccented

FORMS = ("NFC", "NFD")


@pytest.mark.parametrize(
    ("one", "other", "without_accents"),
    [
        ("Vögel", "VÖGEL", "vogel"),
        ("Straße", "STRASSE", "strasse"),
        ("Ångström", "ångström", "angstrom"),
        ("Łódź", "łódź", "lodz"),
        ("Smørrebrød", "SMØRREBRØD", "smorrebrod"),
        ("İzmir", "İZMIR", "izmir"),
        ("Ёлка", "ёлка", "елка"),
        ("が", "が", "が"),
        ("हिन्दी", "हिन्दी", "हिन्दी"),
        ("grass", "Grass", "grass"),
    ],
)
def test_forms_and_case_are_equal_and_accents_go_last(one: str, other: str, without_accents: str) -> None:
    for form in FORMS:
        assert nfc(normalize(form, one)) == normalize("NFC", one)
        assert folded(normalize(form, one)) == folded(normalize("NFD", other))
        assert unaccented(normalize(form, other)) == without_accents


@given(st.text())
def test_any_text_has_one_form(text: str) -> None:
    for form in (nfc, folded, unaccented):
        assert form(form(text)) == form(text)
        assert form(normalize("NFD", text)) == form(normalize("NFC", text)) == form(text)


@pytest.mark.parametrize(
    ("one", "other", "count"),
    [("", "", 0), ("dog", "dog", 0), ("dog", "dgo", 1), ("dog", "do", 1), ("dogs", "dog", 1), ("ca", "abc", 3)],
)
def test_edits_are_counted_up_to_a_number(one: str, other: str, count: int) -> None:
    for most in range(5):
        assert edits(one, other, most) == edits(other, one, most) == min(count, most + 1)


def test_one_thing_is_singular() -> None:
    assert [counted(number, "image") for number in (0, 1, 2000)] == ["0 images", "1 image", "2000 images"]
    assert [counted(number, "image", ",") for number in (1, 2000)] == ["1 image", "2,000 images"]
