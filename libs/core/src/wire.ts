/** What a tensor on the wire is. */
export type TensorKind = 'gradient' | 'parameters' | 'state' | 'file' | 'activation' | 'activation-gradient';

/** Goes before each chunk of a tensor (protos/tensor.proto). */
export interface TensorHeader {
  /** Run id; empty for files. */
  readonly run: string;
  readonly kind: TensorKind;
  /** Pipeline stage, and fragment of it that is synchronised on its own; state vectors count as fragments. */
  readonly stage: number;
  readonly fragment: number;
  /** Task that it answers; for parameters and state sent to a worker the number of the transfer to it, 1, 2, 3, …. */
  readonly task: number;
  readonly round: number;
  readonly baseVersion: number;
  readonly samples: number;
  readonly codec: number;
  /** Name of a file: its sha256. */
  readonly name: string;
  /** This chunk's number, and how many there are. */
  readonly chunk: number;
  readonly chunks: number;
  /** Values (bytes for files) before this chunk, and in it. */
  readonly offset: number;
  readonly length: number;
  /** CRC-32C of the payload. */
  readonly crc: number;
}
