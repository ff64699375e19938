/** What somebody may do on a server; which calls that is, libs/transport says (roles.ts). */
export const ROLES = ['node', 'viewer', 'engineer', 'admin'] as const;
export type Role = (typeof ROLES)[number];

/** Whom a server has let in. */
export interface PeerIdentity {
  readonly id: string;
  readonly role: Role;
}

/** The name in every server's certificate: servers are told apart by their authority, however they are reached. */
export const SERVER_NAME = 'longtail-server';
