// Rows: sortable columns, units, bars, coloured cells, links.
import { continuousColor, textOn, themeColor, thresholdColor } from '../colors.js';
import { h, icon } from '../dom.js';
import { compare, configOf, display } from '../fields.js';
import { timeColumnFormat } from '../time.js';

const FIRST_ROWS = 100;

export function draw(panel, frames, body, board) {
  const frame = frames[0];
  const count = frame?.fields[0]?.values.length ?? 0;
  if (!count) return null;
  const columns = frame.fields.map((field) => ({ field, config: configOf(panel, field, frame),
    time: field.kind === 'time' ? timeColumnFormat(field.values, frame.timezone) : null }))
    .filter(({ config }) => !config.custom.hidden && !config.custom.hideFrom?.viz);
  const cellsOf = (row) => Object.fromEntries(frame.fields.map((field) => [field.name, field.values[row]]));
  let order = board.sort ?? null;
  let limit = FIRST_ROWS;
  const sortRule = panel.options?.sortBy?.[0];
  if (!order && sortRule) order = { name: sortRule.displayName, sign: sortRule.desc ? -1 : 1 };
  const rows = h('tbody');
  const heads = columns.map((column) => {
    const isNumber = column.field.kind === 'number';
    const name = column.config.displayName ?? column.field.name;
    const cell = h('th', { scope: 'col', class: isNumber ? 'number' : null }, h('button', { type: 'button', class: 'sort', onclick: () => {
      order = { name: column.field.name, sign: order?.name === column.field.name ? -order.sign : (isNumber ? -1 : 1) };
      board.setSort(order);
      fill();
    } }, name));
    if (column.config.custom.width) cell.style.width = `${column.config.custom.width / 16}rem`;
    return cell;
  });
  const cell = (column, row) => {
    const value = column.field.values[row];
    const shown = column.time && value !== null ? { text: column.time(value) } : display(value, column.config);
    const numeric = column.field.kind === 'number';
    const element = h(column === columns[0] ? 'th' : 'td', { class: numeric ? 'number' : null, scope: column === columns[0] ? 'row' : undefined });
    const options = column.config.custom.cellOptions ?? {};
    const href = value === null || value === '' ? null : board.linkFor(column.config.links?.[0], { cells: cellsOf(row), value, text: shown.text, fieldName: column.field.name, labels: {} });
    const content = href ? h('a', { href }, shown.text) : document.createTextNode(shown.text);
    if (shown.isEmpty) element.classList.add('empty');
    const min = column.config.min ?? 0;
    const max = column.config.max ?? Math.max(1e-12, ...column.field.values.filter((v) => typeof v === 'number'));
    const part = typeof value === 'number' ? (value - min) / ((max - min) || 1) : 0;
    if (options.type === 'gauge' && typeof value === 'number') {
      const color = column.config.color?.mode === 'fixed' ? themeColor(column.config.color.fixedColor, board.theme) : thresholdColor(column.config, value, board.theme, min, max);
      element.classList.add('gauge-cell');
      element.append(h('span', { class: 'bar', style: { '--part': `${Math.max(0, Math.min(part, 1)) * 100}%`, '--color': color } }), h('span', {}, content));
    } else {
      element.append(content);
      const color = shown.color ? themeColor(shown.color, board.theme)
        : column.config.color?.mode?.startsWith('continuous') ? continuousColor(column.config.color.mode, part, board.theme) : typeof value === 'number' ? thresholdColor(column.config, value, board.theme, min, max) : null;
      if (color && options.type === 'color-text') element.style.color = color;
      if (color?.startsWith('#') && options.type === 'color-background' && value !== null) { element.style.background = color; element.style.color = textOn(color); element.classList.add('heat'); }
    }
    const more = (column.config.links ?? []).slice(1).map((link) => [link, board.linkFor(link, { cells: cellsOf(row), value, text: shown.text, labels: {} })]).filter(([, to]) => to && value !== null && value !== '');
    for (const [link, to] of more) element.append(h('a', { class: 'cell-link', href: to, title: link.title, 'aria-label': `${link.title}: ${shown.text}` }, icon('link')));
    return element;
  };
  const more = h('button', { type: 'button', class: 'more', onclick: () => { limit = Infinity; fill(); } });
  const fill = () => {
    const index = [...Array(count).keys()];
    const key = order && columns.find((column) => (column.config.displayName ?? column.field.name) === order.name || column.field.name === order.name);
    if (key) index.sort((a, b) => order.sign * compare(key.field.values[a], key.field.values[b]) || a - b);
    heads.forEach((head, i) => head.setAttribute('aria-sort', key === columns[i] ? (order.sign > 0 ? 'ascending' : 'descending') : 'none'));
    rows.replaceChildren(...index.slice(0, limit).map((row) => h('tr', {}, columns.map((column) => cell(column, row)))));
    more.hidden = count <= limit;
    more.textContent = `Show all ${count.toLocaleString('en')} rows`;
  };
  fill();
  body.classList.add('scrolls');
  body.tabIndex = 0;
  body.setAttribute('role', 'region');
  body.setAttribute('aria-label', `${panel.title}, table`);
  body.append(h('table', { class: 'data' }, h('caption', { class: 'visually-hidden' }, panel.title), panel.options?.showHeader === false ? null : h('thead', {}, h('tr', {}, heads)), rows), more);
  // Columns that do not fit fade out at the edge: a table that ends in a clean line looks complete.
  const showMore = () => body.classList.toggle('more-right', body.scrollLeft + body.clientWidth < body.scrollWidth - 2);
  const watch = new ResizeObserver(showMore);
  watch.observe(body);
  body.addEventListener('scroll', showMore, { passive: true });
  showMore();
  return { summary: `${count} rows`, dispose: () => { watch.disconnect(); body.removeEventListener('scroll', showMore); body.classList.remove('more-right'); } };
}
