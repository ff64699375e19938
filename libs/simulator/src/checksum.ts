import { createKernels } from '@longtail/kernels';

/** Checksums keep no state: every simulation uses the same. */
const kernels = createKernels();

export const crc32c = (bytes: Uint8Array): number => kernels.crc32c(bytes);
