import type { EngineName } from '@longtail/core';
import { describe, expect, test } from 'vitest';
import { availableEngines, loadEngine } from '../load.js';

/** Where a machine does not have an engine, it has to say so and what to do. */
export function expectUnavailable(name: EngineName): void {
  describe(`engine ${name}, which this machine does not have`, () => {
    test('refuses to load and tells the way out', async () => {
      await expect(loadEngine(name)).rejects.toMatchObject({ name: 'LongtailError', code: 'engine', hint: expect.stringContaining('--engine wasm') as string });
    });

    test('is listed with the reason', async () => {
      const listed = (await availableEngines()).find((engine) => engine.name === name)!;
      expect(listed).toMatchObject({ available: false, reason: expect.stringMatching(/.+/) as string, hint: expect.stringMatching(/.+/) as string });
    });
  });
}
