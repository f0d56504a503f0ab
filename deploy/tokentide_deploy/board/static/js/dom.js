// Small helpers over the DOM; text is always text, never markup.

/** An element: h('button', { class: 'x', onclick: f, 'aria-label': 'y' }, child, ...). */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'style') for (const [key, text] of Object.entries(value)) element.style.setProperty(key, text);
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const ICONS = {
  info: 'M12 11v6M12 7.5v.01M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18Z',
  table: 'M4 5h16v14H4zM4 10h16M4 14.5h16M10 5v14',
  expand: 'M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5',
  close: 'M6 6l12 12M18 6L6 18',
  clock: 'M12 7v5l3 2M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18Z',
  left: 'M14.5 6l-6 6 6 6', right: 'M9.5 6l6 6-6 6', out: 'M5 11a6 6 0 1 0 12 0 6 6 0 1 0-12 0M15.5 15.5L20 20M8.5 11h5',
  refresh: 'M19 12a7 7 0 1 1-2-5M19 4v4h-4', sun: 'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8ZM12 3v2M12 19v2M3 12h2M19 12h2M5.6 5.6L7 7M17 17l1.4 1.4M5.6 18.4L7 17M17 7l1.4-1.4',
  down: 'M6 9.5l6 6 6-6', help: 'M9.3 9a2.8 2.8 0 1 1 4 2.7c-.9.5-1.3 1-1.3 2.1M12 17v.01M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18Z',
  menu: 'M4 7h16M4 12h16M4 17h16', link: 'M9 15l6-6M10 8h6v6',
};

/** A drawn icon, hidden from screen readers: whatever holds it has the name. */
export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  svg.setAttribute('class', 'icon');
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}

let openPopover = null;

/** A button and what it opens below itself. `fill(body, close)` is called at each opening. */
export function popover(button, fill, { align = 'start', label } = {}) {
  button.setAttribute('aria-haspopup', 'dialog');
  button.setAttribute('aria-expanded', 'false');
  const close = (focusBack = true) => {
    if (!openPopover || openPopover.button !== button) return;
    openPopover.body.remove();
    openPopover = null;
    button.setAttribute('aria-expanded', 'false');
    if (focusBack) button.focus();
  };
  button.addEventListener('click', () => {
    if (openPopover?.button === button) { close(); return; }
    openPopover?.close(false);
    const body = h('div', { class: 'popover', role: 'dialog', 'aria-label': label ?? button.getAttribute('aria-label') ?? button.textContent });
    document.body.append(body);
    openPopover = { button, body, close };
    button.setAttribute('aria-expanded', 'true');
    fill(body, close);
    const place = () => {
      const at = button.getBoundingClientRect();
      const width = Math.min(body.offsetWidth, window.innerWidth - 16);
      const wanted = align === 'end' ? at.right - width : at.left;
      body.style.left = `${Math.max(8, Math.min(wanted, window.innerWidth - width - 8))}px`;
      body.style.top = `${at.bottom + 6}px`;
      body.style.maxHeight = `${Math.max(160, window.innerHeight - at.bottom - 20)}px`;
    };
    place();
    body.querySelector('input, button, a, select')?.focus();
  });
  return close;
}

document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && openPopover) { event.stopPropagation(); openPopover.close(); }
});
document.addEventListener('pointerdown', (event) => {
  if (openPopover && !openPopover.body.contains(event.target) && !openPopover.button.contains(event.target)) openPopover.close(false);
});
window.addEventListener('resize', () => openPopover?.close(false));
