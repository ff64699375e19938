/**
 * What a tensor on the wire is; a difference makes the parameters of its version out of those of the version before, as does a
 * fragment, the part of them that the version changed, whole or as a difference; `peer` is what the workers of a pipeline tell
 * each other at an inner step; a probe only measures the link.
 */
export type TensorKind =
  | 'gradient'
  | 'parameters'
  | 'difference'
  | 'fragment'
  | 'fragment-difference'
  | 'state'
  | 'file'
  | 'activation'
  | 'activation-gradient'
  | 'peer'
  | 'probe';

/** Goes before each chunk of a tensor (protos/tensor.proto). */
export interface TensorHeader {
  /** Run id; empty for files. */
  readonly run: string;
  readonly kind: TensorKind;
  /** Pipeline stage that the tensor belongs to; of activations and their gradients the one that they go to. */
  readonly stage: number;
  /** Number of the segment (gradient, parameters, difference, fragment), of the state vector, of the microbatch (activations), or of the matter (peer). */
  readonly fragment: number;
  /** Task that it answers; for what is sent to a worker the number of the transfer to it, 1, 2, 3, …. */
  readonly task: number;
  readonly round: number;
  readonly baseVersion: number;
  readonly samples: number;
  readonly codec: number;
  /** Of a file its sha256, of an activation its shape: `8x128x256`. */
  readonly name: string;
  /** Values of the worker's vector, or of the activation, before the tensor's first: a segment says so where it belongs. */
  readonly start: number;
  /** This chunk's number, and how many there are. */
  readonly chunk: number;
  readonly chunks: number;
  /** Values (bytes for files) before this chunk, and in it. */
  readonly offset: number;
  readonly length: number;
  /** CRC-32C of the payload. */
  readonly crc: number;
  /** Of tensors between workers of a group: the inner step that they belong to. @default 0 */
  readonly step?: number;
  /** Of `peer` tensors: number of the worker that takes it; `stage` is that of its sender. @default 0 */
  readonly to?: number;
}
