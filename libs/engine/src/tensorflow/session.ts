import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LongtailError } from '@longtail/core';
import { encodeSavedModel, GRAPH_TAG } from './graph-def.js';
import type { Output } from './graph-def.js';
import type { Graph } from './graph.js';
import { mergePasses } from './merge-passes.js';
import type { Binding } from './native-tensor.js';
import { NativeTensor } from './native-tensor.js';

/** A loaded graph: TensorFlow runs any of its fetches as one native call, and compiles each combination the first time. */
export class Session {
  private constructor(
    private readonly binding: Binding,
    private id: number | undefined,
    /** Names of what the graph can be fed. */
    private readonly placeholders: ReadonlySet<string>,
  ) {}

  /** Loads what the fetches of a graph need. TensorFlow takes graphs from a folder only; it is gone again on return. */
  static load(binding: Binding, graph: Graph, fetches: readonly Output[]): Session {
    const nodes = mergePasses(graph.prune(fetches), fetches);
    const placeholders = new Set(nodes.filter((node) => node.op === 'Placeholder').map((node) => node.name));
    const folder = temporaryFolder();
    try {
      mkdirSync(join(folder, 'variables'));
      writeFileSync(join(folder, 'saved_model.pb'), encodeSavedModel(nodes));
      return new Session(binding, binding.loadSavedModel(folder, GRAPH_TAG), placeholders);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  /**
   * Runs the graph up to the fetches. Feeds that no fetch depends on (parameters of a stage that has none) are ignored.
   * The caller frees what it gets; what it feeds stays its own.
   */
  run(feeds: Readonly<Record<string, NativeTensor>>, fetches: readonly Output[]): NativeTensor[] {
    if (this.id === undefined) throw new Error('the graph was disposed of');
    const names = Object.keys(feeds).filter((name) => this.placeholders.has(name));
    const ids = names.map((name) => feeds[name].id);
    const results = this.binding.runSavedModel(this.id, ids, names.map((name) => `${name}:0`).join(), fetches.join());
    return results.map(({ id }) => new NativeTensor(this.binding, id));
  }

  dispose(): void {
    if (this.id !== undefined) this.binding.deleteSavedModel(this.id);
    this.id = undefined;
  }
}

function temporaryFolder(): string {
  try {
    return mkdtempSync(join(tmpdir(), 'longtail-graph-'));
  } catch (cause) {
    throw new LongtailError(`cannot write a graph for TensorFlow: ${(cause as Error).message}`, {
      code: 'storage',
      where: tmpdir(),
      hint: 'Make room there, or name another folder in TMPDIR.',
      cause,
    });
  }
}
