import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

// Tests import the sources; the processes they start run dist, which `npm test` builds first.
const conditions = ['@longtail/source', 'node'];

/** Their tests load engines, which keep what they set for the process. */
const WITH_ENGINES = ['libs/engine', 'apps/worker', 'tools/engine-build'];

const project = (name: string, test: NonNullable<TestProjectInlineConfiguration['test']>): TestProjectInlineConfiguration => ({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: { name, testTimeout: 30_000, hookTimeout: 60_000, execArgv: ['--import', new URL('tools/end-with-parent.mjs', import.meta.url).href], ...test },
});

/** What starts processes or runs hundreds of jobs takes longest: at the end it would have the cores for itself. */
class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const projects = [...new Set(sorted.map((file) => file.project))];
    const place = ({ project, moduleId }: TestSpecification) => 2 * projects.indexOf(project) + (/\.(integ|chaos)\.test\.ts$/.test(moduleId) ? 0 : 1);
    return sorted.sort((a, b) => place(a) - place(b));
  }
}

const testsOf = (folder: string) => `${folder}/src/**/*.test.ts`;

export default defineConfig({
  test: {
    // Test files share two cores with the processes they start, and wait for their clocks: a third one has the cores meanwhile.
    maxWorkers: 3,
    sequence: { sequencer: LongFirst },
    // As few as can be: each project transforms what its tests import for itself, and its processes end with it.
    projects: [
      project('a process each', { include: WITH_ENGINES.map(testsOf) }),
      // They keep nothing in modules, which are loaded once for all of them.
      project('together', { include: ['libs/*', 'apps/*', 'tools/*'].map(testsOf), exclude: WITH_ENGINES.map(testsOf), isolate: false }),
    ],
  },
});
