import { currentIdentity, type Credentials, type Keep } from '@longtail/access';
import { LongtailError } from '@longtail/core';
import { secretFile } from '@longtail/store';
import { renew, wallClock } from '@longtail/transport';

const LOOK_EVERY_MS = 3_600_000;

/** What a worker is on its server, from a file that `longtail join` wrote. */
export class WorkerIdentity {
  private readonly keep: Keep;
  private readonly looking: NodeJS.Timeout;

  /** Renews the certificate in time for as long as the signal lets it: a session may last longer than one. */
  constructor(
    private readonly server: string,
    path: string,
    signal: AbortSignal,
  ) {
    this.keep = secretFile(path);
    this.looking = setInterval(() => void this.current(signal).catch(() => undefined), LOOK_EVERY_MS).unref();
    signal.addEventListener('abort', () => clearInterval(this.looking), { once: true });
  }

  /** Its certificate, renewed where that is due. LongtailError `refused` when it is over. */
  async current(signal: AbortSignal): Promise<Credentials> {
    const renewAt = (kept: Credentials, request: string) => renew(this.server, kept, request, signal);
    const credentials = await currentIdentity(this.keep, renewAt, wallClock.nowMs());
    if (credentials !== undefined) return credentials;
    throw new LongtailError('the identity of this node is gone', { code: 'refused', where: this.keep.path, hint: 'Join again, with a token.' });
  }
}
