import { elementCount, LongtailError, type Codec, type HostTensor, type LinkRate, type OutgoingTensor, type PeerLink, type PeerNetwork, type TensorChunk } from '@longtail/core';
import type { Place, Task } from '@longtail/protocol';
import type { WorkerConnection } from './ports.js';
import type { StageTensorKind } from './stage-inbox.js';

/** An output of a stage on its way to the next one, or to the one before; or what a worker tells another one of its group. */
export interface StageOutput {
  readonly kind: StageTensorKind;
  /** That takes it; of `peer` tensors the number of the worker that sends it. */
  readonly stage: number;
  /** The microbatch, or what it is about. */
  readonly fragment: number;
  /** Number of the worker that takes it. */
  readonly to: number;
  readonly tensor: HostTensor;
}

/**
 * Sends the outputs of a worker's stages to its neighbours: over a direct link where one is there, else through the server. A link that
 * cannot be had or that ends costs nothing but the detour: what was under way on it goes again, and the receiver counts
 * it once.
 */
export class StageOutbox {
  private readonly links = new Map<number, PeerLink>();
  private readonly lifetime = new AbortController();
  private sentBytes = 0;
  private receivedBytes = 0;

  constructor(
    private readonly place: Place,
    private readonly connection: WorkerConnection,
    /** Of activations and their gradients; what workers add up travels as it is, so that all come to the same bits. */
    private readonly codecs: { readonly activation: Codec; readonly peer: Codec },
    private readonly chunkLength: number,
    private readonly peers: PeerNetwork | undefined,
    /** What comes in over direct links. */
    private readonly put: (chunk: TensorChunk) => Promise<void> | void,
  ) {}

  /** Dials the neighbours that have an address, and awaits those that dial. */
  open(): void {
    const { peers, place, lifetime } = this;
    if (peers === undefined) return;
    for (const { worker, address, key, curveKey } of place.neighbours.filter((candidate) => candidate.key !== '')) {
      const opening = address === '' ? peers.accept(key, lifetime.signal, curveKey) : peers.dial(address, key, lifetime.signal, curveKey);
      opening.then(
        (link) => this.adopt(worker, link),
        () => undefined, // the server is the way
      );
    }
  }

  close(reason: string): void {
    this.lifetime.abort(new LongtailError(reason, { code: 'cancelled' }));
    for (const link of this.links.values()) link.close(reason);
    this.links.clear();
  }

  /** Payloads that went over direct links since this was asked last. */
  takeTraffic(): { readonly sentBytes: number; readonly receivedBytes: number } {
    const { sentBytes, receivedBytes } = this;
    this.sentBytes = this.receivedBytes = 0;
    return { sentBytes, receivedBytes };
  }

  /** What tensors make of the direct links, as far as that is known. */
  *rates(): Generator<{ readonly node: string; readonly rate: LinkRate }> {
    for (const { worker, node } of this.place.neighbours) {
      const rate = this.links.get(worker)?.sending;
      if (rate !== undefined) yield { node, rate };
    }
  }

  /** Resolves when the neighbour has the tensor; rejects with the signal's reason, or when the session ends. */
  async send(task: Task, step: number, output: StageOutput, signal: AbortSignal): Promise<void> {
    const codec = output.kind === 'peer' ? this.codecs.peer : this.codecs.activation;
    const tensor = this.outgoing(task, step, output, codec);
    const link = this.links.get(output.to);
    if (link !== undefined) {
      const arrived = await link.sendTensor(tensor, signal).then(
        () => true,
        () => false,
      );
      if (arrived) {
        this.sentBytes += codec.maxBytes(tensor.length, output.tensor.shape.at(-1)!);
        return;
      }
      signal.throwIfAborted();
    }
    await this.connection.sendTensor(tensor, signal);
  }

  private outgoing(task: Task, step: number, { kind, stage, fragment, to, tensor }: StageOutput, codec: Codec): OutgoingTensor {
    const values = tensor.data as Float32Array;
    const length = elementCount(tensor.shape);
    const rowLength = tensor.shape.at(-1)!;
    // Whole rows where one fits.
    const chunkLength = Math.min(length, this.chunkLength - (rowLength < this.chunkLength ? this.chunkLength % rowLength : 0));
    const { run, round } = task;
    const of = { run, kind, stage, fragment, task: task.task, round, baseVersion: task.version, step, to };
    return {
      header: { ...of, samples: tensor.shape[0] ?? 0, codec: codec.id, name: tensor.shape.join('x'), start: 0 },
      length,
      chunkLength,
      chunk(offset, count) {
        const bytes = new Uint8Array(codec.maxBytes(count, rowLength));
        return bytes.subarray(0, codec.encode(values.subarray(offset, offset + count), bytes, rowLength));
      },
    };
  }

  private adopt(worker: number, link: PeerLink): void {
    if (this.lifetime.signal.aborted) return link.close('the run is over');
    link.start({
      tensor: (chunk) => {
        this.receivedBytes += chunk.payload.length;
        return this.put(chunk);
      },
      closed: () => {
        if (this.links.get(worker) === link) this.links.delete(worker);
      },
    });
    this.links.set(worker, link);
  }
}
