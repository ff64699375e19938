import { LongtailError, ROLES, type PeerIdentity, type Role } from '@longtail/core';
import type { CONTROL_METHODS } from './control-methods.js';

export type ControlMethod = keyof typeof CONTROL_METHODS;

const LOOKS = ['viewer', 'engineer', 'admin'] as const;
const RUNS = ['engineer', 'admin'] as const;

/** Who may call what on a server with certificates. `anyone` needs none: a token is what an enrolment shows. */
export const MAY_CALL: Readonly<Record<ControlMethod, readonly Role[] | 'anyone'>> = {
  session: ['node', 'admin'],
  follow: ['standby'],
  launch: RUNS,
  watch: LOOKS,
  cancel: RUNS,
  resume: RUNS,
  fork: RUNS,
  listJobs: LOOKS,
  listRuns: LOOKS,
  listNodes: LOOKS,
  orderNode: RUNS,
  getServer: ROLES,
  enrol: 'anyone',
  renew: ROLES,
  createToken: ['admin'],
  listAccess: ['admin'],
  revoke: ['admin'],
  handOver: ['standby'],
  takeOver: [...RUNS, 'standby'],
};

/** The commands that call a method, where they have another name. */
const COMMANDS: Readonly<Partial<Record<ControlMethod, string>>> = {
  session: 'join',
  follow: 'up --standby-of',
  watch: 'logs',
  listJobs: 'jobs',
  listRuns: 'runs',
  listNodes: 'nodes',
  orderNode: 'pause, unpause or drain',
  createToken: 'token create',
  listAccess: 'token list',
  handOver: 'up --standby-of',
  takeOver: 'take-over',
};

/** Throws LongtailError `refused` unless somebody of that role may call the method. */
export function checkRole(method: ControlMethod, { id, role }: PeerIdentity): void {
  const roles = MAY_CALL[method];
  if (roles === 'anyone' || roles.includes(role)) return;
  throw new LongtailError(`${id} is a ${role} here, and ${COMMANDS[method] ?? method} takes ${roles.length > 1 ? 'one of ' : ''}${roles.join(', ')}`, {
    code: 'refused',
    hint: `Ask for a token of that role: longtail token create --role ${roles[0]}.`,
  });
}
