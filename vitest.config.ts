import { readdirSync } from 'node:fs';
import { defineConfig } from 'vitest/config';

// Tests import the sources; the processes they start run dist, which `npm test` builds first.
const conditions = ['@longtail/source', 'node'];

const packages = ['libs', 'apps', 'tools'].flatMap((folder) =>
  readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => ({ name: entry.name, root: `${folder}/${entry.name}` })),
);

/** Their tests keep nothing in modules: files of one share them, and load them once. */
const SHARED = new Set(['access', 'cli', 'core', 'data', 'kernels', 'lab', 'layout', 'parameter-server', 'planner', 'protocol', 'report', 'runtime', 'schedule', 'simulator', 'spec', 'store', 'sync', 'transport']);

export default defineConfig({
  test: {
    // Test files share two cores with the processes they start, and wait for their clocks: a third one has the cores meanwhile.
    maxWorkers: 3,
    projects: packages.map(({ name, root }) => ({
      resolve: { conditions },
      ssr: { resolve: { conditions, externalConditions: conditions } },
      test: {
        name,
        root,
        include: ['src/**/*.test.ts'],
        passWithNoTests: true,
        testTimeout: 30_000,
        hookTimeout: 60_000,
        isolate: !SHARED.has(name),
        execArgv: ['--import', new URL('tools/end-with-parent.mjs', import.meta.url).href],
      },
    })),
  },
});
