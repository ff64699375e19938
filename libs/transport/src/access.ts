import type { X509Certificate } from 'node:crypto';
import type { PeerIdentity } from '@longtail/core';
import type {
  CertificateReply,
  CreateTokenReply,
  CreateTokenRequest,
  EnrolRequest,
  HandOverReply,
  ListAccessReply,
  RenewRequest,
  RevokeReply,
  RevokeRequest,
} from '@longtail/protocol';

/** How a server proves who it is, and whom it knows. */
export interface KnownPeers {
  /** Of the server, for SERVER_NAME, followed by its authority's; and its key. PEM. */
  readonly certificate: string;
  readonly privateKey: string;
  readonly authority: string;
  /** Whose certificate it is. Throws LongtailError `refused` when it is not good, or no longer. */
  identify(certificate: X509Certificate): PeerIdentity;
}

/** And whom it lets in. */
export interface ServerAccess extends KnownPeers {
  enrol(request: EnrolRequest): Promise<CertificateReply>;
  renew(request: RenewRequest, peer: PeerIdentity): Promise<CertificateReply>;
  createToken(request: CreateTokenRequest): Promise<CreateTokenReply>;
  listAccess(): Promise<ListAccessReply>;
  /** `identify` refuses those named in the reply by then; the transport ends their connections. */
  revoke(request: RevokeRequest): Promise<RevokeReply>;
  /** To a standby: who has this is the server. */
  handOver(): Promise<HandOverReply>;
}

/** What a client or a worker shows, PEM. Without a certificate it can only enrol. */
export interface ClientCredentials {
  /** Of the server, and of no other. */
  readonly authority: string;
  readonly certificate?: string;
  readonly privateKey?: string;
}
