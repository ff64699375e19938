/** Values under the pointer. The page is complete without it. */
export const SCRIPT = `
const tip = document.getElementById('tip');
const line = (parent, tag, text, colour) => {
  const element = document.createElement(tag);
  if (colour) { const key = document.createElement('i'); key.style.background = colour; element.append(key); }
  element.append(text);
  parent.append(element);
  return element;
};
const place = (event) => {
  tip.style.display = 'block';
  const { width, height } = tip.getBoundingClientRect();
  const left = event.clientX + 16 + width > innerWidth ? event.clientX - 16 - width : event.clientX + 16;
  tip.style.left = Math.max(4, left) + 'px';
  tip.style.top = Math.max(4, Math.min(innerHeight - height - 4, event.clientY + 14)) + 'px';
};
for (const svg of document.querySelectorAll('svg[data-hover]')) {
  const { x, title, rows, top, bottom } = JSON.parse(svg.dataset.hover);
  if (x.length === 0) continue;
  const make = (name, attributes) => {
    const element = document.createElementNS(svg.namespaceURI, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.style.display = 'none';
    svg.append(element);
    return element;
  };
  const cross = make('line', { class: 'cross', y1: top, y2: bottom });
  const dots = rows.map(({ colour, y }) => y && make('circle', { class: 'dot', r: 4.5, style: 'fill:' + colour }));
  const hide = () => {
    tip.style.display = 'none';
    for (const mark of [cross, ...dots]) if (mark) mark.style.display = 'none';
  };
  svg.addEventListener('pointerleave', hide);
  svg.addEventListener('pointermove', (event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    if (at.y < top - 6 || at.y > bottom + 6) return hide();
    let best = 0;
    for (let i = 1; i < x.length; i++) if (Math.abs(x[i] - at.x) < Math.abs(x[best] - at.x)) best = i;
    cross.setAttribute('x1', x[best]);
    cross.setAttribute('x2', x[best]);
    cross.style.display = '';
    tip.replaceChildren();
    line(tip, 'b', title[best]);
    rows.forEach(({ name, colour, text, y }, i) => {
      const row = document.createElement('div');
      line(row, 'span', name, colour);
      line(row, 'span', text[best]).style.color = 'var(--text)';
      tip.append(row);
      if (!dots[i]) return;
      dots[i].style.display = y[best] === null ? 'none' : '';
      if (y[best] !== null) { dots[i].setAttribute('cx', x[best]); dots[i].setAttribute('cy', y[best]); }
    });
    place(event);
  });
}
for (const element of document.querySelectorAll('[data-tip]')) {
  element.addEventListener('pointermove', (event) => {
    tip.replaceChildren();
    element.dataset.tip.split('\\n').forEach((text, i) => line(tip, i === 0 ? 'b' : 'div', text));
    place(event);
  });
  element.addEventListener('pointerleave', () => { tip.style.display = 'none'; });
}
`;
