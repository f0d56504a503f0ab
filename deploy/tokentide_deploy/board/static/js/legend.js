// The legend of a chart: a list or a table of buttons that show and hide series, in reach of the keyboard.
import { h, icon } from './dom.js';
import { CALCULATIONS, reduce, compare } from './fields.js';
import { formatValue } from './units.js';

/** `author/model` where the author gives way first when room is short. */
function nameParts(name) {
  const cut = name.lastIndexOf('/') + 1;
  return cut ? h('span', { class: 'name-parts' }, h('span', { class: 'name-start' }, name.slice(0, cut)), h('span', { class: 'name-end' }, name.slice(cut))) : h('span', {}, name);
}

/**
 * `items`: { name, color, values, config, href }. `hidden`: set of hidden names. `onChange(hidden)`.
 * A click shows only that series, a further one all; with Ctrl or Shift it toggles that one.
 */
export function legend(options, items, hidden, onChange) {
  const calculations = (options?.calcs ?? []).filter((name) => name in CALCULATIONS);
  const isTable = options?.displayMode === 'table' && calculations.length > 0;
  const toggle = (name, many) => {
    const names = items.map((item) => item.name);
    const visible = names.filter((one) => !hidden.has(one));
    if (many) { if (!hidden.delete(name)) hidden.add(name); }
    else if (visible.length === 1 && visible[0] === name) hidden.clear();
    else { hidden.clear(); for (const one of names) if (one !== name) hidden.add(one); }
    onChange(hidden);
  };
  const entry = (item) => h('span', { class: 'legend-entry' },
    h('button', { type: 'button', class: 'legend-name', 'aria-pressed': String(!hidden.has(item.name)), title: `${item.name}\nClick: only this one; with Ctrl: hide it`,
      onclick: (event) => toggle(item.name, event.ctrlKey || event.metaKey || event.shiftKey) },
    h('i', { class: 'swatch', style: { background: item.color } }), nameParts(item.name)),
    item.href ? h('a', { class: 'legend-link', href: item.href, 'aria-label': `Open ${item.name}`, title: `Open ${item.name}` }, icon('link')) : null);
  if (!isTable) {
    return h('ul', { class: 'legend' }, items.map((item) => h('li', {}, entry(item), calculations.map((name) =>
      h('span', { class: 'legend-value' }, `${CALCULATIONS[name][0]} ${formatValue(reduce(name, item.values), item.config.unit, item.config.decimals)}`)))));
  }
  const body = h('tbody');
  let order = null;
  const fill = () => {
    const rows = items.map((item) => ({ item, values: calculations.map((name) => reduce(name, item.values)) }));
    if (order) rows.sort((a, b) => order.sign * (order.column < 0 ? compare(a.item.name, b.item.name) : compare(a.values[order.column], b.values[order.column])));
    body.replaceChildren(...rows.map(({ item, values }) => h('tr', { class: hidden.has(item.name) ? 'off' : null }, h('th', { scope: 'row' }, entry(item)),
      values.map((value) => h('td', {}, value === null ? '–' : formatValue(value, item.config.unit, item.config.decimals))))));
  };
  const head = (text, column) => h('th', { scope: 'col' }, h('button', { type: 'button', class: 'sort', onclick: () => {
    order = { column, sign: order?.column === column ? -order.sign : (column < 0 ? 1 : -1) }; fill();
  } }, text));
  fill();
  return h('table', { class: 'legend legend-table' }, h('thead', {}, h('tr', {}, head('Name', -1), calculations.map((name, i) => head(CALCULATIONS[name][0], i)))), body);
}
