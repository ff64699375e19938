import type { TensorChunk } from '@longtail/core';
import type { WorkerMessage } from '@longtail/protocol';
import type { Actor } from './actor.js';
import { LATE_MS, tamper, type Crc, type Fault } from './faults.js';
import type { FrameFuzz } from './frame-fuzz.js';
import type { SentChunk } from './in-transit.js';

/** What faults make of the chunks and messages that travel between workers and the server. */
export class Meddler {
  private readonly fuzzing: Extract<Fault, { kind: 'fuzz' }> | undefined;
  private readonly tampering: readonly Extract<Fault, { kind: 'tamper' }>[];

  constructor(
    faults: readonly Fault[],
    private readonly fired: Set<Fault>,
    /** Of the worker that a fault `fuzz` names. */
    private readonly fuzz: FrameFuzz | undefined,
    private readonly crc32c: Crc,
  ) {
    this.fuzzing = faults.find((fault) => fault.kind === 'fuzz');
    this.tampering = faults.filter((fault) => fault.kind === 'tamper');
  }

  up(worker: string, actor: Actor, chunk: TensorChunk): readonly SentChunk[] {
    return [...this.tampered(worker, actor, chunk), ...(this.fuzzOf(worker)?.chunks(chunk) ?? [])];
  }

  down(actor: Actor, chunk: TensorChunk): readonly SentChunk[] {
    const fault = actor.tamperDown;
    if (fault === undefined || chunk.payload.length === 0) return [chunk];
    actor.tamperDown = undefined;
    this.fired.add(fault);
    return tamper(fault.how, chunk, this.crc32c);
  }

  message(worker: string, actor: Actor, message: WorkerMessage) {
    const mutants = this.fuzzOf(worker)?.messages(message) ?? [];
    return [...this.delayed(actor, message), ...mutants.map((mutant) => ({ message: mutant, lateMs: 0 }))];
  }

  /** At most once a fault. */
  private tampered(worker: string, { poisoned }: Actor, chunk: TensorChunk): readonly SentChunk[] {
    if (poisoned !== undefined) {
      this.fired.add(poisoned);
      return tamper('nan', chunk, this.crc32c);
    }
    for (const fault of this.tampering) {
      if (fault.worker !== worker || this.fired.has(fault)) continue;
      if (fault.round !== chunk.header.round || fault.chunk !== chunk.header.chunk || chunk.header.round === 0) continue;
      this.fired.add(fault);
      return tamper(fault.how, chunk, this.crc32c);
    }
    return [chunk];
  }

  private delayed(actor: Actor, message: WorkerMessage) {
    const fault = actor.message;
    const now = { message, lateMs: 0 };
    if (fault === undefined) return [now];
    actor.message = undefined;
    this.fired.add(fault);
    return fault.how === 'late' ? [{ message, lateMs: LATE_MS }] : [now, now];
  }

  private fuzzOf(worker: string): FrameFuzz | undefined {
    const fault = this.fuzzing;
    if (fault?.worker !== worker) return undefined;
    this.fired.add(fault);
    return this.fuzz;
  }
}
