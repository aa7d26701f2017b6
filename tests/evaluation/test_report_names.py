"""Labels that turn the direction of text are shown as they are spelt, in every form of a report."""

from aaam_pipeline.evaluation import charts, document
from aaam_pipeline.evaluation.document import Column, Section, Table

LABEL = "d\u202eog"


def test_no_report_turns_its_text() -> None:
    section = Section(LABEL, LABEL, [Table(LABEL, [Column("label", text=True)], [[LABEL]])])
    for text in (
        document.render_markdown(LABEL, "", [section]),
        document.render_html(LABEL, LABEL, [("a", LABEL, [section])]),
        charts.escape(LABEL),
    ):
        assert "\u202e" not in text
        assert "u202e" in text
