import { elementCount, LongtailError, type Codec, type HostTensor, type TensorChunk, type TensorHeader } from '@longtail/core';

/** Tensors of one task that may wait here: twice the microbatches of the largest task anybody should give. */
const MAX_WAITING = 8192;
/** Tasks whose tensors may come before the task: the next one, while the last one is being called off. */
const MAX_TASKS = 4;
/** 4 GiB of float32. */
const MAX_VALUES = 2 ** 30;

export type StageTensorKind = 'activation' | 'activation-gradient';

/** Tensors for the stages of a worker, put together and kept until the stage takes them. Each counts once; what belongs to a task that is over is dropped. */
export class StageInbox {
  private readonly tasks = new Map<number, Map<string, Incoming>>();

  /** Tasks up to `over` are over. */
  constructor(
    private readonly codecs: readonly Codec[],
    private over: number,
  ) {}

  /** Puts a chunk where it belongs. Throws LongtailError `protocol` for one that fits nowhere. */
  put({ header, payload }: TensorChunk): void {
    if (header.task <= this.over) return;
    const codec = this.codecs.find(({ id }) => id === header.codec);
    if (codec === undefined) throw misfit(header, `comes in codec ${header.codec}, which this worker does not know`);
    this.incoming(header.task, keyOf(header.kind, header.stage, header.fragment)).put(header, payload, codec);
  }

  /** The tensor once it is whole; rejects with the signal's reason. A tensor can be taken once. */
  async take(task: number, kind: StageTensorKind, stage: number, microbatch: number, signal: AbortSignal): Promise<HostTensor> {
    signal.throwIfAborted();
    return this.incoming(task, keyOf(kind, stage, microbatch)).take(signal);
  }

  /** The task is over, and those before it. */
  close(task: number): void {
    this.over = Math.max(this.over, task);
    for (const number of [...this.tasks.keys()]) if (number <= this.over) this.tasks.delete(number);
  }

  private incoming(task: number, key: string): Incoming {
    let tensors = this.tasks.get(task);
    if (tensors === undefined) {
      if (this.tasks.size >= MAX_TASKS) throw new LongtailError(`tensors of more than ${MAX_TASKS} tasks wait`, { code: 'protocol' });
      this.tasks.set(task, (tensors = new Map<string, Incoming>()));
    }
    let tensor = tensors.get(key);
    if (tensor === undefined) {
      if (tensors.size >= MAX_WAITING) throw new LongtailError(`more than ${MAX_WAITING} tensors of task ${task}`, { code: 'protocol' });
      tensors.set(key, (tensor = new Incoming()));
    }
    return tensor;
  }
}

/** One tensor, from its first chunk until it was taken. */
class Incoming {
  private shape: readonly number[] = [];
  private values: Float32Array | undefined;
  private readonly seen = new Set<number>();
  private missing = Infinity;
  private wake: (() => void) | undefined;
  private taken = false;

  put(header: TensorHeader, payload: Uint8Array, codec: Codec): void {
    const at = header.start + header.offset;
    if (this.taken || this.seen.has(at)) return; // came twice
    if (this.values === undefined) this.begin(header);
    if (at + header.length > this.values!.length) throw misfit(header, `is longer than its shape ${header.name}`);
    codec.decode(payload, this.values!.subarray(at, at + header.length), this.shape.at(-1));
    this.seen.add(at);
    this.missing -= header.length;
    if (this.missing === 0) this.wake?.();
  }

  async take(signal: AbortSignal): Promise<HostTensor> {
    if (this.missing > 0) await this.whole(signal);
    const tensor = { dtype: 'float32', shape: this.shape, data: this.values! } as const;
    this.taken = true;
    this.values = undefined;
    return tensor;
  }

  private whole(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const aborted = () => reject(signal.reason as Error);
      signal.addEventListener('abort', aborted, { once: true });
      this.wake = () => {
        signal.removeEventListener('abort', aborted);
        resolve();
      };
    });
  }

  private begin(header: TensorHeader): void {
    this.shape = header.name.split('x').map(Number);
    const count = elementCount(this.shape);
    const valid = this.shape.every((size) => Number.isSafeInteger(size) && size > 0) && count <= MAX_VALUES;
    if (!valid) throw misfit(header, `has the shape ${header.name}`);
    this.values = new Float32Array(count);
    this.missing = count;
  }
}

function keyOf(kind: string, stage: number, microbatch: number): string {
  return `${kind}/${stage}/${microbatch}`;
}

function misfit({ kind, fragment }: TensorHeader, problem: string): LongtailError {
  return new LongtailError(`the ${kind} of microbatch ${fragment} ${problem}`, { code: 'protocol' });
}
