#!/usr/bin/env node
import { existsSync } from 'node:fs';

const main = new URL('../dist/main.js', import.meta.url);
if (!existsSync(main)) {
  console.error('longtail: not built yet. Run `npm run setup` in the checkout first (`npm start` and `npm test` do it by themselves).');
  process.exit(1);
}
await import(main.href);
