import { currentIdentity, type Credentials, type Keep } from '@longtail/access';
import { LongtailError } from '@longtail/core';
import { secretFile } from '@longtail/store/node';
import { renew, wallClock } from '@longtail/transport';

const LOOK_EVERY_MS = 3_600_000;

/** What a worker, or a standby, is on its server, from a file that the command wrote. */
export class KeptIdentity {
  private readonly keep: Keep;
  private readonly looking: NodeJS.Timeout;

  /** Renews the certificate in time for as long as the signal lets it: a session may last longer than one. */
  constructor(
    private server: string,
    path: string,
    signal: AbortSignal,
  ) {
    this.keep = secretFile(path);
    this.looking = setInterval(() => void this.current(signal).catch(() => undefined), LOOK_EVERY_MS).unref();
    signal.addEventListener('abort', () => clearInterval(this.looking), { once: true });
  }

  /** Its certificate, renewed where that is due, by the server that is there now. LongtailError `refused` when it is over. */
  async current(signal: AbortSignal, server = this.server): Promise<Credentials> {
    this.server = server;
    const renewAt = (kept: Credentials, request: string) => renew(server, kept, request, signal);
    const credentials = await currentIdentity(this.keep, renewAt, wallClock.nowMs());
    if (credentials !== undefined) return credentials;
    throw new LongtailError('the identity of this node is gone', { code: 'refused', where: this.keep.path, hint: 'Come again, with a token.' });
  }
}
