const value = row => column => {
  const text = row.cells[column].textContent.replace(/,/g, '').replace('\u2212', '-'), number = parseFloat(text);
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
