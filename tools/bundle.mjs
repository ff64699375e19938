// Makes the bundle that `longtail` runs: what its processes load, in a few files in place of hundreds (docs/adr/0054-processes-run-a-bundle.md).
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { rolldown } from 'rolldown';
import { bundlesOf } from '../apps/cli/dist/current-bundle.js';

const root = resolve(import.meta.dirname, '..');
const { folder: bundles, manifest } = bundlesOf(root);

/** Packages that are in it, with all that they import. The others are native, or what an engine or one kind of data needs: those stay where they are. */
const PACKAGES = new Set([
  '@grpc/grpc-js',
  '@grpc/proto-loader',
  '@observablehq/plot',
  '@peculiar/x509',
  '@xmldom/xmldom',
  'commander',
  'd3-dsv',
  'log-update',
  'picocolors',
  'pino',
  'protobufjs',
  'reflect-metadata',
  'string-width',
  'yaml',
  'zod',
]);
/** What imports a file late finds it as long as the bundle that it is of is there. */
const KEPT = 8;

/** @type {Map<string, [string, number, number]>} */
const parts = new Map();
/** @param {string} path from the root */
function note(path) {
  if (parts.has(path)) return;
  const { size, mtimeMs } = statSync(join(root, path));
  parts.set(path, [path, size, mtimeMs]);
}

/** @param {string} id */
const isOwn = (id) => id.startsWith(root) && !id.includes(`${sep}node_modules${sep}`);
/** @param {string} id of a module that a process or thread begins with */
const entryName = (id) =>
  relative(root, id)
    .split(sep)
    .filter((part) => part !== 'dist')
    .join('-');
/** @param {string} specifier */
const packageOf = (specifier) => /^(@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? '';

const made = join(bundles, `being-made-${process.pid}`);

/**
 * A module's `import.meta.url` stays that of its file in dist, by which it finds what lies there; but what it starts
 * processes and threads with is in the bundle too.
 *
 * @type {import('rolldown').Plugin}
 */
const places = {
  name: 'places',
  load(id) {
    // Before any module of the project is read: where it is compiled meanwhile, the bundle is an old one.
    if (isOwn(id)) note(`${relative(root, id).split(sep).slice(0, 2).join('/')}/dist/.tsbuildinfo`);
  },
  transform(code, id) {
    if (!isOwn(id) || !code.includes('import.meta.')) return undefined;
    /** @param {string} started */
    const entry = (started) => {
      this.emitFile({ type: 'chunk', id: started, fileName: entryName(started) });
      return `new URL('./${entryName(started)}', import.meta.bundled)`;
    };
    return code
      .replaceAll(/new URL\('(\.\/[^']+\.js)', import\.meta\.url\)/g, (_, path) => entry(resolve(dirname(id), path)))
      .replaceAll(/import\.meta\.resolve\('([^']+)'\)/g, (_, name) => `${entry(createRequire(id).resolve(name))}.href`)
      .replaceAll('import.meta.url', `new URL('${relative(made, id).replaceAll(sep, '/')}', import.meta.bundled).href`)
      .replaceAll('import.meta.bundled', 'import.meta.url');
  },
};

// npm writes it whenever it installs something; and what is done here.
for (const path of ['node_modules/.package-lock.json', 'tools/bundle.mjs']) note(path);
const main = join(root, 'apps/cli/dist/main.js');
/** @param {string} specifier in one of our modules; its own helpers the bundler brings along */
const isInside = (specifier) => /^(\.|\/|@longtail\/|@oxc-project\/)/.test(specifier) || PACKAGES.has(packageOf(specifier));
const build = await rolldown({
  cwd: root,
  input: { [entryName(main).replace(/\.js$/, '')]: main },
  platform: 'node',
  external: (id, importer) => importer !== undefined && isOwn(importer) && !isInside(id),
  plugins: [places],
});
// All processes need most of `core`: by itself it would be in some fifteen files.
const codeSplitting = { groups: [{ name: 'core', test: /libs[\\/]core[\\/]dist/ }] };
await build.write({ dir: made, format: 'esm', comments: false, codeSplitting });
await build.close();

const listed = [...parts.values()].sort(([a], [b]) => (a < b ? -1 : 1));
const name = createHash('sha256').update(JSON.stringify(listed)).digest('hex').slice(0, 12);
// Another build of the same may have been faster.
if (existsSync(join(bundles, name))) rmSync(made, { recursive: true });
else renameSync(made, join(bundles, name));
writeFileSync(`${made}.json`, JSON.stringify({ main: `${name}/${entryName(main)}`, parts: listed }));
renameSync(`${made}.json`, manifest);

const earlier = readdirSync(bundles, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && entry.name !== name)
  .map((entry) => ({ path: join(bundles, entry.name), madeMs: statSync(join(bundles, entry.name)).mtimeMs }))
  .sort((a, b) => b.madeMs - a.madeMs);
for (const { path } of earlier.slice(KEPT)) rmSync(path, { recursive: true, force: true });
