import type { EngineInfo } from '@longtail/core';
import type * as tfjs from '@tensorflow/tfjs';
import type { Ops } from '../ops.js';

/** A TF.js backend that is loaded and active. */
export interface EagerBackend {
  readonly info: EngineInfo;
  readonly tf: typeof tfjs;
  readonly ops: Ops;
  /** A tensor copies what it is made of at once. @default false: it may read the array later, or compute in it */
  readonly copiesUploads?: boolean;
  /** Copies a tensor's values to `out`, of the same length. */
  read(tensor: tfjs.Tensor, out: Float32Array): Promise<void>;
}
