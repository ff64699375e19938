import { readFileSync, writeSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { LongtailError } from '@longtail/core';
import type { WireError } from '@longtail/core';
import { moduleModel, traceModel } from '@longtail/engine/traced';
import type { ModelPurpose } from '@longtail/engine';

/**
 * What runs behind the walls: loads a module, writes down what its model does, and ends. It is asked on standard input and
 * answers on descriptor 3, a line for each part that it begins and one with the result.
 */
export interface ModuleRequest {
  /** In the process's own root; undefined: tell what is to be seen there. */
  readonly path: string | undefined;
  readonly options: Readonly<Record<string, unknown>>;
  readonly purpose: ModelPurpose;
}

export type ModuleReply =
  | { readonly reply: 'part'; readonly part: string }
  | { readonly reply: 'model'; readonly model: unknown }
  | { readonly reply: 'failed'; readonly error: WireError }
  | { readonly reply: 'walls'; readonly walls: Walls };

/** How confined a process found itself. */
export interface Walls {
  readonly user: number;
  readonly environment: readonly string[];
  readonly networks: readonly string[];
}

function say(reply: ModuleReply): void {
  writeSync(3, `${JSON.stringify(reply)}\n`);
}

const { path, options, purpose } = JSON.parse(readFileSync(0, 'utf8')) as ModuleRequest;
try {
  if (path === undefined) say({ reply: 'walls', walls: { user: process.getuid!(), environment: Object.keys(process.env), networks: Object.keys(networkInterfaces()) } });
  else {
    say({ reply: 'part', part: 'its factory' });
    const model = await moduleModel({ type: 'module', path, options }, purpose);
    say({ reply: 'model', model: traceModel(model, path, (part) => say({ reply: 'part', part })) });
  }
} catch (error) {
  say({ reply: 'failed', error: LongtailError.from(error, 'invalid-file').toWire() });
}
process.exit(0);
