import type { X509Certificate } from 'node:crypto';
import { Authority, Roll, type KeyedCertificate } from '@longtail/access';
import type { AccessEntries, PeerIdentity } from '@longtail/core';
import type { KnownPeers } from '@longtail/transport';
import { identify, type InheritedAccess } from './open-access.js';

/** The authority of the server that a standby follows, and whom it lets in: in memory, until it is the server. */
export class StandbyAccess implements KnownPeers {
  private roll = new Roll();

  private constructor(
    private readonly keyed: KeyedCertificate,
    private readonly issuer: Authority,
    private readonly own: KeyedCertificate,
    private readonly nowMs: () => number,
  ) {}

  static async open(keyed: KeyedCertificate, nowMs: () => number): Promise<StandbyAccess> {
    const issuer = await Authority.open(keyed);
    return new StandbyAccess(keyed, issuer, await issuer.issueServer(nowMs()), nowMs);
  }

  get certificate(): string {
    return this.own.certificate;
  }

  get privateKey(): string {
    return this.own.privateKey;
  }

  get authority(): string {
    return this.issuer.certificate;
  }

  get inherited(): InheritedAccess {
    return { authority: this.keyed, entries: this.roll.list() };
  }

  identify(certificate: X509Certificate): PeerIdentity {
    return identify(certificate, this.issuer, this.roll, this.nowMs());
  }

  hold(entries: AccessEntries, anew: boolean): void {
    if (anew) this.roll = new Roll(entries);
    else this.roll.hold(entries);
  }
}
