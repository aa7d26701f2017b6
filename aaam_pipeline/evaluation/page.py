"""A report as one HTML page that needs no other file: light or dark, good to print, readable without its script.

The script, which sorts a table by the column that is clicked on, is a few lines; the page's policy allows it by its
hash, and nothing else to run or be fetched, even if a label were not escaped somewhere.
"""

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from html import escape
from itertools import groupby

from aaam_pipeline.evaluation.document import NONE, Chart, Column, Section, Table

SCRIPT = """
const value = row => column => {
  const text = row.cells[column].textContent.replace(/,/g, '').replace('\\u2212', '-'), number = parseFloat(text);
  return [isNaN(number), isNaN(number) ? text : number];
};
const compare = ([aText, a], [bText, b]) => aText - bText || (a < b ? -1 : a > b ? 1 : 0);
for (const table of document.querySelectorAll('table')) {
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells], body = table.tBodies[0];
  heads.forEach((head, column) => head.addEventListener('click', () => {
    const sign = head.getAttribute('aria-sort') === 'descending' ? 1 : -1;
    heads.forEach(each => each.removeAttribute('aria-sort'));
    head.setAttribute('aria-sort', sign < 0 ? 'descending' : 'ascending');
    const text = head.classList.contains('text') ? -sign : sign;
    const rows = [...body.rows].map(row => [value(row)(column), row]);
    rows.sort(([a], [b]) => a[0] !== b[0] && !head.classList.contains('text') ? a[0] - b[0] : text * compare(a, b));
    body.append(...rows.map(([, row]) => row));
  }));
}
"""
HASH = b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{HASH}'"
STYLE = """
:root { color-scheme: light dark; --page: #fcfcfa; --text: #1d1d1f; --weak: #66666c; --line: #d9d9d6; --rule: #444;
  --strong: #eef3f9; --link: #1f5f9e; }
@media (prefers-color-scheme: dark) { :root { --page: #161618; --text: #ececee; --weak: #a0a0a6; --line: #343438;
  --rule: #8a8a90; --strong: #1f2a36; --link: #7db8f0; } }
html { scroll-padding-top: 3.5rem; }
body { margin: 0 auto; padding: 0 clamp(1rem, 4vw, 3rem) 4rem; max-width: 76rem; background: var(--page);
  color: var(--text); font: 15px/1.5 system-ui, "Helvetica Neue", Arial, sans-serif; }
nav { position: sticky; top: 0; z-index: 1; display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; padding: .7rem 0;
  background: var(--page); border-bottom: 1px solid var(--line); font-size: 14px; }
a { color: var(--link); text-decoration: none; } a:hover { text-decoration: underline; }
h1 { font-size: 1.7rem; margin: 1.6rem 0 .4rem; } h2 { font-size: 1.4rem; margin: 3rem 0 .5rem; }
h3 { font-size: 1.12rem; margin: 2.2rem 0 .3rem; }
p { max-width: 46rem; margin: .3rem 0 1rem; } .note { color: var(--weak); font-size: 13px; margin: .45rem 0 0; }
figure { margin: 1.2rem 0 1.8rem; overflow-x: auto; } figcaption { font-weight: 600; margin-bottom: .45rem; }
table { border-collapse: collapse; font-size: 13.5px; border-top: 1.5px solid var(--rule);
  border-bottom: 1.5px solid var(--rule); font-variant-numeric: tabular-nums; }
th, td { padding: .22rem .55rem; text-align: right; white-space: nowrap; } .text { text-align: left; }
th { font-weight: 600; cursor: pointer; vertical-align: bottom; } tbody { border-top: 1px solid var(--rule); }
th.group { text-align: center; cursor: auto; border-bottom: 1px solid var(--line); }
th[aria-sort=descending]::after { content: " \\2193"; } th[aria-sort=ascending]::after { content: " \\2191"; }
tbody tr:hover { background: color-mix(in srgb, var(--line) 35%, transparent); }
tbody tr.strong { background: var(--strong); } tr.strong td:first-child { font-weight: 600; }
.dense { font-size: 12.5px; } .dense :is(th, td) { padding-inline: .32rem; } .dense td.wide { min-width: 9rem; }
td.wide { white-space: normal; min-width: 12rem; color: var(--weak); font-size: 12.5px; overflow-wrap: anywhere; }
.minus { color: #b3261e; } .plus { color: #17744a; }
@media (prefers-color-scheme: dark) { .minus { color: #ff9d94; } .plus { color: #6fd3a1; } }
summary { cursor: pointer; font-size: 1.12rem; font-weight: 600; margin: 2.2rem 0 .3rem; } svg { max-width: none; }
@page { size: A4 landscape; margin: 14mm; }
@media print {
  :root { --page: #fff; --text: #000; --weak: #444; --line: #ccc; --rule: #000; --strong: #f0f0f0; --link: #000; }
  .minus { color: #b3261e; } .plus { color: #17744a; }
  body { max-width: none; padding: 0; font-size: 10pt; } nav { display: none; } h2 { break-before: page; }
  h2:first-of-type { break-before: auto; } tr, svg { break-inside: avoid; } h3, figcaption { break-after: avoid; }
  table { font-size: 8.5pt; } .dense { font-size: 7pt; } th, td { padding: .1rem .35rem; } figure { overflow: visible; }
  svg { max-width: 100%; height: auto; }
  details::details-content { content-visibility: visible; block-size: auto; }
}
"""
# cells of more characters may be broken into lines
WIDE = 34
# tables of more columns are set closer
DENSE = 12


def render(title: str, text: str, chapters: Sequence[tuple[str, str, Sequence[Section]]]) -> str:
    """Return the page; a chapter is an anchor, a title and its sections."""
    links = "".join(f'<a href="#{escape(anchor)}">{escape(name)}</a>' for anchor, name, _ in chapters)
    body = "".join(_chapter(*chapter) for chapter in chapters)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<nav>{links}</nav>\n<h1>{escape(title)}</h1>\n<p>{escape(text)}</p>\n"
        f"{body}<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def _chapter(anchor: str, title: str, sections: Sequence[Section]) -> str:
    return f'<h2 id="{escape(anchor)}">{escape(title)}</h2>\n' + "".join(map(_section, sections))


def _section(section: Section) -> str:
    text = f"<p>{escape(section.text)}</p>\n" if section.text else ""
    items = "".join(_table(item) if isinstance(item, Table) else _chart(item) for item in section.items)
    if section.folded:
        return f"<details><summary>{escape(section.title)}</summary>\n{text}{items}</details>\n"
    heading = f"<h3>{escape(section.title)}</h3>\n" if section.title else ""
    return f"{heading}{text}{items}"


def _chart(chart: Chart) -> str:
    return f"<figure><figcaption>{escape(chart.title)}</figcaption>\n{chart.svg}{_note(chart.note)}</figure>\n"


def _table(table: Table) -> str:
    head = f"<tr>{''.join(map(_head, table.columns))}</tr>"
    if any(column.group for column in table.columns):
        head = _groups(table.columns) + head
    dense = " class=dense" if len(table.columns) > DENSE else ""
    rows = "".join(_row(table, place) for place in range(len(table.rows)))
    return (
        f"<figure><figcaption>{escape(table.title)}</figcaption>\n<table{dense}><thead>{head}</thead>\n<tbody>{rows}</tbody></table>"
        f"{_note(table.note)}</figure>\n"
    )


def _head(column: Column) -> str:
    return f'<th scope="col"{" class=text" if column.text else ""}>{escape(column.name)}</th>'


def _groups(columns: Sequence[Column]) -> str:
    cells = []
    for group, members in groupby(columns, key=lambda column: column.group):
        count = len(list(members))
        cells.append(f'<th colspan="{count}"{" class=group scope=colgroup" if group else ""}>{escape(group)}</th>')
    return f"<tr>{''.join(cells)}</tr>"


def _row(table: Table, place: int) -> str:
    cells = "".join(_cell(column, cell) for column, cell in zip(table.columns, table.rows[place], strict=True))
    return f"<tr{' class=strong' if place in table.strong else ''}>{cells}</tr>\n"


def _cell(column: Column, text: str) -> str:
    if column.text:
        return f'<td class="text{" wide" if len(text) > WIDE else ""}">{escape(text)}</td>'
    if column.name == "diff." and text not in (NONE, ""):
        sign = "minus" if text.startswith("-") else "plus" if text.strip("+0.,") else ""
        return f'<td class="{sign}">{escape(text.replace("-", "−"))}</td>'
    return f"<td>{escape(text)}</td>"


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>' if text else ""
