import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/*
 * Vitest hands the workspace's export conditions to Node, `import` among them, and `require('long')` inside TF.js then
 * finds that package's ES build, which is another shape. The module cache gets the CommonJS one in its place. Not needed
 * once vitest.config.ts stops naming the conditions `import` and `default`.
 */
const require = createRequire(createRequire(import.meta.url).resolve('@tensorflow/tfjs'));
const found = require.resolve('long');
if (!found.includes('umd')) {
  const commonJs = join(dirname(found), 'umd', 'index.js');
  const exports: unknown = require(commonJs);
  require.cache[found] = { ...require.cache[commonJs]!, id: found, filename: found, exports } as NodeJS.Module;
}
