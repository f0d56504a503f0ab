// Words: headings, paragraphs, lists, bold, code and links of Markdown, built as elements.
import { h } from '../dom.js';

function inline(text) {
  const found = [];
  const pattern = /\*\*(.+?)\*\*|`(.+?)`|\[(.+?)\]\(((?:https?:\/\/|\/|#)[^\s)]*)\)/g;
  let from = 0;
  for (const match of text.matchAll(pattern)) {
    found.push(text.slice(from, match.index));
    if (match[1]) found.push(h('strong', {}, match[1]));
    else if (match[2]) found.push(h('code', {}, match[2]));
    else found.push(h('a', { href: match[4], rel: 'noopener' }, match[3]));
    from = match.index + match[0].length;
  }
  return [...found, text.slice(from)];
}

export function draw(panel, frames, body) {
  body.classList.add('words', 'scrolls');
  for (const block of String(panel.options?.content ?? '').split(/\n\s*\n/)) {
    const heading = /^(#{1,4})\s+(.*)$/.exec(block.trim());
    if (heading) body.append(h(`h${Math.min(heading[1].length + 2, 6)}`, {}, inline(heading[2])));
    else if (/^\s*[-*] /.test(block)) body.append(h('ul', {}, block.trim().split('\n').map((line) => h('li', {}, inline(line.replace(/^\s*[-*] /, ''))))));
    else if (block.trim()) body.append(h('p', {}, inline(block.trim())));
  }
  return { summary: '', dispose: () => {} };
}
