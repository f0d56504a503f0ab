// The controls above the panels: dashboards, variables, time range and zone, refresh, theme.
import { fetchOptions } from './api.js';
import { h, icon, popover } from './dom.js';
import { ALL, REFRESH_CHOICES } from './state.js';
import { QUICK_RANGES, formatTime, movedRange, offsetText, parseTime, rangeText } from './time.js';

/** The button that offers the other dashboards. */
export function dashboardPicker(boards, current, go) {
  const button = h('button', { type: 'button', class: 'board-button' }, h('span', { class: 'board-title' }, current?.title ?? 'Dashboards'), icon('down'));
  popover(button, (body, close) => {
    body.append(h('nav', { 'aria-label': 'Dashboards' }, h('ul', { class: 'board-list' }, boards.map((board) => h('li', {},
      h('a', { href: `/d/${board.uid}`, 'aria-current': board.uid === current?.uid ? 'page' : null, onclick: (event) => {
        if (event.metaKey || event.ctrlKey || event.shiftKey) return;
        event.preventDefault(); close(false); go(`/d/${board.uid}`, true);
      } }, h('strong', {}, board.title), h('span', {}, board.description)))))));
  }, { label: 'Dashboards' });
  return button;
}

const wordsOf = (variable, values) => {
  if (values.length === 1 && values[0] === ALL) return 'All';
  if (!values.length) return 'None';
  return values.length > 2 ? `${values.slice(0, 2).join(', ')} +${values.length - 2}` : values.join(', ');
};

/** One variable: a button with its value that opens a searchable list; a text field for a textbox. */
export function variableControl(variable, board) {
  const label = variable.label || variable.name;
  const values = () => board.state.variables[variable.name] ?? [];
  if (variable.type === 'textbox') {
    return h('label', { class: 'variable', title: variable.description ?? '' }, h('span', { class: 'variable-label' }, label),
      h('input', { type: 'search', value: values()[0] ?? '', onchange: (event) => board.setVariable(variable.name, [event.target.value]) }));
  }
  const shown = h('span', { class: 'variable-value' }, wordsOf(variable, values()));
  const button = h('button', { type: 'button', class: 'variable', title: variable.description ?? '', 'data-variable': variable.name }, h('span', { class: 'variable-label' }, label), shown, icon('down'));
  popover(button, (body, close) => { fillOptions(body, close, variable, values(), board); }, { label });
  return button;
}

async function fillOptions(body, close, variable, values, board) {
  const chosen = new Set(values);
  const search = h('input', { type: 'search', placeholder: 'Search', 'aria-label': `Search ${variable.label || variable.name}` });
  const list = h('ul', { class: 'option-list', 'aria-busy': 'true' }, h('li', { class: 'quiet' }, 'Loading'));
  const isMulti = Boolean(variable.multi);
  const apply = () => {
    const picked = [...chosen];
    board.setVariable(variable.name, picked.length ? picked : [ALL]);
    close();
  };
  body.append(search, list, isMulti ? h('div', { class: 'popover-foot' }, h('button', { type: 'button', class: 'primary', onclick: apply }, 'Apply')) : '');
  search.focus();
  let answer;
  try {
    answer = await fetchOptions(board.uid, variable.name, board.view(100));
  } catch (error) {
    list.replaceChildren(h('li', { class: 'problem' }, error.message));
    return;
  }
  const options = [...(variable.includeAll ? [{ value: ALL, text: 'All' }] : []), ...answer.options,
    ...values.filter((value) => value !== ALL && !answer.options.some((one) => one.value === value)).map((value) => ({ value, text: `${value} (not in this range)` }))];
  const pick = (value) => {
    if (!isMulti) { board.setVariable(variable.name, [value]); close(); return; }
    if (value === ALL) { const was = chosen.has(ALL); chosen.clear(); if (!was) chosen.add(ALL); }
    else { chosen.delete(ALL); if (!chosen.delete(value)) chosen.add(value); }
    fill();
  };
  const fill = () => {
    const wanted = search.value.trim().toLowerCase();
    const found = options.filter((one) => one.text.toLowerCase().includes(wanted));
    const focused = document.activeElement?.dataset?.value;
    list.replaceChildren(...found.slice(0, 300).map((one) => h('li', {}, h('label', {},
      h('input', { type: isMulti ? 'checkbox' : 'radio', name: `option-${variable.name}`, 'data-value': one.value, onchange: () => pick(one.value) }), h('span', {}, one.text)))),
    found.length ? '' : h('li', { class: 'quiet' }, 'Nothing found'), found.length > 300 || answer.left_out ? h('li', { class: 'quiet' }, 'More: search for them') : '');
    for (const input of list.querySelectorAll('input')) { input.checked = chosen.has(input.dataset.value); if (input.dataset.value === focused) input.focus(); }
  };
  list.removeAttribute('aria-busy');
  search.addEventListener('input', fill);
  body.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && event.target === search && isMulti) apply();
    if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return;
    event.preventDefault();
    const inputs = [search, ...list.querySelectorAll('input')];
    inputs[Math.max(0, Math.min(inputs.length - 1, inputs.indexOf(document.activeElement) + (event.key === 'ArrowDown' ? 1 : -1)))]?.focus();
  });
  fill();
}

const forInput = (ms, zone) => formatTime(ms, zone).slice(0, 16).replace(' ', 'T');

/** Range, zone, shifting and zooming out. */
export function rangeControl(board) {
  const { state } = board;
  const [from, to] = board.range();
  const button = h('button', { type: 'button', class: 'range-button' }, icon('clock'), h('span', {}, rangeText(state.from, state.to, state.zone, Date.now())), icon('down'));
  popover(button, (body, close) => {
    const start = h('input', { type: 'datetime-local', value: forInput(from, state.zone), required: true });
    const end = h('input', { type: 'datetime-local', value: forInput(to, state.zone), required: true });
    const problem = h('p', { class: 'problem', role: 'alert' });
    const zones = h('datalist', { id: 'zones' }, (Intl.supportedValuesOf?.('timeZone') ?? []).map((zone) => h('option', { value: zone })));
    const zone = h('input', { type: 'search', list: 'zones', value: state.zoneChoice === 'browser' ? '' : state.zone, placeholder: `${state.zone} (this device)`, autocomplete: 'off' });
    const setZone = (choice) => {
      try { new Intl.DateTimeFormat('en', { timeZone: choice === 'browser' ? undefined : choice }); } catch { problem.textContent = `There is no time zone ${choice}.`; return; }
      close(); board.setZone(choice);
    };
    body.classList.add('range-popover');
    body.append(
      h('div', { class: 'quick' }, h('h3', {}, 'Quick ranges'), h('ul', {}, QUICK_RANGES.map(([f, t, text]) => h('li', {}, h('button', { type: 'button', 'data-range': `${f} ${t}`,
        'aria-pressed': String(f === state.from && t === state.to), onclick: () => { close(); board.setRange(f, t); } }, text))))),
      h('form', { class: 'absolute', onsubmit: (event) => {
        event.preventDefault();
        const a = parseTime(start.value, state.zone, Date.now()), b = parseTime(end.value, state.zone, Date.now());
        if (a === null || b === null || a >= b) { problem.textContent = 'The range has to begin before it ends.'; return; }
        close(); board.setRange(String(a), String(b));
      } }, h('h3', {}, 'From and to'), h('label', {}, 'From', start), h('label', {}, 'To', end), problem, h('button', { type: 'submit', class: 'primary' }, 'Apply'),
      h('h3', {}, 'Time zone'), h('label', {}, `${state.zone}, ${offsetText(state.zone, Date.now())}`, zone), zones,
      h('div', { class: 'row' }, h('button', { type: 'button', onclick: () => setZone(zone.value.trim() || 'browser') }, 'Use zone'), h('button', { type: 'button', onclick: () => setZone('UTC') }, 'UTC'), h('button', { type: 'button', onclick: () => setZone('browser') }, 'This device'))));
  }, { align: 'end', label: 'Time range and zone' });
  const move = (how) => { const [a, b] = movedRange(...board.range(), how); board.setRange(String(Math.max(0, a)), String(b)); };
  board.move = move;
  return h('div', { class: 'group' }, h('button', { type: 'button', class: 'icon-button', 'aria-label': 'Earlier by half the range', title: 'Earlier  [', onclick: () => move('back') }, icon('left')),
    button, h('button', { type: 'button', class: 'icon-button', 'aria-label': 'Later by half the range', title: 'Later  ]', onclick: () => move('forward') }, icon('right')),
    h('button', { type: 'button', class: 'icon-button', 'aria-label': 'Zoom out', title: 'Zoom out  -', onclick: () => move('out') }, icon('out')));
}

export function refreshControl(board) {
  const select = h('select', { 'aria-label': 'Refresh every', title: 'Refresh every', onchange: (event) => board.setRefresh(event.target.value) },
    (REFRESH_CHOICES.some(([value]) => value === board.state.refresh) ? REFRESH_CHOICES : [...REFRESH_CHOICES, [board.state.refresh, board.state.refresh]]).map(([value, text]) => h('option', { value, selected: value === board.state.refresh }, text)));
  return h('div', { class: 'group' }, h('button', { type: 'button', class: 'icon-button', 'aria-label': 'Refresh now', title: 'Refresh  r', onclick: () => board.refresh() }, icon('refresh')), select);
}

const KEYS = [['r', 'refresh'], ['[ ]', 'earlier, later by half the range'], ['-', 'zoom out'], ['d', 'dashboards'], ['t', 'time range'], ['l', 'light or dark'], ['Esc', 'close, or leave an enlarged panel'], ['Drag', 'over a chart: zoom in']];

export function helpControl() {
  const button = h('button', { type: 'button', class: 'icon-button', 'aria-label': 'Keys', title: 'Keys  ?' }, icon('help'));
  popover(button, (body) => body.append(h('h3', {}, 'Keys'), h('dl', { class: 'keys' }, KEYS.map(([key, what]) => [h('dt', {}, h('kbd', {}, key)), h('dd', {}, what)]))), { align: 'end', label: 'Keys' });
  return button;
}
