import { expect, test } from 'vitest';
import { html } from './markup.js';

test('markup escapes what it is given and nothing else', () => {
  expect(html`<b title="${'"<&\''}">${[html`<i></i>`, 'x<', 3, false, undefined]}</b>`.text).toBe(
    '<b title="&#34;&#60;&#38;&#39;"><i></i>x&#60;3</b>',
  );
});
