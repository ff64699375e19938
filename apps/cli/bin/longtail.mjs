#!/usr/bin/env node
import { existsSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';

const choice = new URL('../dist/current-bundle.js', import.meta.url);
if (!existsSync(choice)) {
  console.error('longtail: not built yet. Run `npm run setup` in the checkout first (`npm start` and `npm test` do it by themselves).');
  process.exit(1);
}
const { currentBundle } = await import(choice.href);
const bundled = currentBundle(fileURLToPath(new URL('../../..', import.meta.url)));
await import(bundled === undefined ? new URL('../dist/main.js', import.meta.url).href : pathToFileURL(bundled).href);
