import nx from '@nx/eslint-plugin';
import importX from 'eslint-plugin-import-x';
import { createTypeScriptImportResolver } from 'eslint-import-resolver-typescript';
import tseslint from 'typescript-eslint';

/** Packages whose code takes a Clock, an Rng and an AbortSignal instead of reaching for the machine (DESIGN.md section 3). */
const PURE = ['core', 'kernels', 'data', 'schedule', 'sync', 'planner', 'spec', 'protocol', 'runtime', 'simulator', 'report'];

export default tseslint.config(
  { ignores: ['**/dist/**', '**/node_modules/**', '**/generated/**', 'libs/kernels/assembly/**', 'examples/**', 'runs/**', '.nx/**'] },
  {
    files: ['{apps,libs,tools}/**/*.ts'],
    extends: [tseslint.configs.base],
    plugins: { '@nx': nx, 'import-x': importX },
    // One program of all packages: with one of each, what they lean on is checked again in each.
    languageOptions: { parserOptions: { project: 'tsconfig.eslint.json', tsconfigRootDir: import.meta.dirname } },
    settings: { 'import-x/resolver-next': [createTypeScriptImportResolver({ conditionNames: ['@longtail/source', 'types', 'import', 'node', 'default'] })] },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      'import-x/no-cycle': 'error',
      'no-console': 'error',
      // What comes from elsewhere is data: nothing that reads it may make code or objects with behaviour of it.
      'no-eval': 'error',
      'no-new-func': 'error',
      'no-restricted-imports': ['error', { paths: [{ name: 'node:v8', importNames: ['deserialize', 'Deserializer', 'DefaultDeserializer'] }] }],
      '@nx/enforce-module-boundaries': [
        'error',
        {
          allow: [],
          // A star: everything leans on core, the compositions see everything.
          depConstraints: [
            { sourceTag: 'scope:core', onlyDependOnLibsWithTags: [] },
            { sourceTag: 'scope:testing', onlyDependOnLibsWithTags: ['scope:core'] },
            { sourceTag: 'scope:leaf', onlyDependOnLibsWithTags: ['scope:core', 'scope:testing'] },
            { sourceTag: 'scope:protocol', onlyDependOnLibsWithTags: ['scope:core', 'scope:testing'] },
            { sourceTag: 'scope:transport', onlyDependOnLibsWithTags: ['scope:core', 'scope:protocol', 'scope:testing'] },
            { sourceTag: 'scope:runtime', onlyDependOnLibsWithTags: ['scope:core', 'scope:protocol', 'scope:testing'] },
            { sourceTag: 'scope:tool', onlyDependOnLibsWithTags: ['scope:core', 'scope:leaf'] },
            { sourceTag: 'scope:root', onlyDependOnLibsWithTags: ['*'] },
          ],
        },
      ],
    },
  },
  {
    files: PURE.map((name) => `libs/${name}/src/**/*.ts`),
    // Where a user's folders are is asked by libraries that know only core, and of the machine. No index has it.
    ignores: ['**/*.test.ts', 'libs/core/src/user-folders.ts'],
    rules: {
      'no-restricted-imports': ['error', { patterns: [{ group: ['node:*'], message: 'I/O belongs to transport, store, engine and the apps.' }] }],
      'no-restricted-globals': ['error', 'setTimeout', 'setInterval', 'setImmediate', 'performance', 'process'],
      'no-restricted-properties': [
        'error',
        { object: 'Date', property: 'now', message: 'Take a Clock.' },
        { object: 'Math', property: 'random', message: 'Take an Rng.' },
      ],
    },
  },
  { files: ['apps/cli/src/**/*.ts', 'tools/**/*.ts'], rules: { 'no-console': 'off' } },
);
