import { randomUUID } from 'node:crypto';
import type { MeasuredLink } from '@longtail/core';
import { createKernels } from '@longtail/kernels';
import { visitorsHello, visitServer } from '@longtail/runtime/worker';
import { createCurveKeys, dial, wallClock, type ClientCredentials } from '@longtail/transport';

export interface LinkMeasurement {
  /** `host:port`. */
  readonly server: string;
  /** Undefined: on that server everybody may. */
  readonly credentials: ClientCredentials | undefined;
  /** For people who look at the server's nodes meanwhile. */
  readonly name: string;
  readonly signal: AbortSignal;
}

/** The link to a server as its nodes use it, with tensors over TCP also within a host. Throws as `dial` and `visitServer`. */
export async function measureLink({ server, credentials, name, signal }: LinkMeasurement): Promise<MeasuredLink> {
  const kernels = createKernels();
  const { connection, welcome } = await dial(server, {
    hello: visitorsHello(name, randomUUID()),
    crc32c: (bytes) => kernels.crc32c(bytes),
    security: credentials && { credentials, curve: createCurveKeys() },
    signal,
  });
  return visitServer(connection, welcome, { clock: wallClock, signal });
}
