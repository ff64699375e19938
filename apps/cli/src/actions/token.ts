import { rm } from 'node:fs/promises';
import { ask, identityFolder, type ServerChoice } from '../process/identity.js';
import type { Output } from '../terminal/output.js';
import { moment } from '../view/marks.js';
import { renderTable } from '../view/table.js';

interface CreateOptions extends ServerChoice {
  readonly role: string;
  /** Milliseconds. */
  readonly expires: number;
  readonly uses: number;
}

export async function create(output: Output, { role, expires, uses, ...server }: CreateOptions): Promise<number> {
  const made = await ask(server, (client, signal) => client.createToken({ role, validMs: expires, uses }, signal));
  output.reveal(made.token, { event: 'token', role, uses, ...made });
  return 0;
}

export async function list(output: Output, options: ServerChoice): Promise<number> {
  const { tokens, identities } = await ask(options, (client, signal) => client.listAccess(signal));
  if (output.json) {
    tokens.forEach((token) => output.event({ event: 'token', ...token }));
    identities.forEach((identity) => output.event({ event: 'identity', ...identity }));
    return 0;
  }
  const state = ({ revoked, expiresAtMs }: { readonly revoked: boolean; readonly expiresAtMs: number }): string =>
    revoked ? 'revoked' : `${expiresAtMs > Date.now() ? 'until' : 'expired'} ${moment(expiresAtMs)}`;
  const tokenCells = tokens.map((token) => [token.id, token.role, String(token.usesLeft), state(token)]);
  const identityCells = identities.map((one) => [one.id, one.name, one.role, one.token || '–', state(one)]);
  if (tokens.length > 0) output.line(renderTable(['token', 'role', 'uses left', 'state'], tokenCells, output.colors));
  if (identities.length > 0) output.line(renderTable(['enrolled', 'name', 'role', 'token', 'certificate'], identityCells, output.colors));
  return 0;
}

export async function revokeToken(output: Output, { enrolled = false, ...server }: ServerChoice & { readonly enrolled?: boolean }, token: string): Promise<number> {
  const { identities, unaware } = await ask(server, (client, signal) => client.revoke({ token, identity: '', enrolled }, signal));
  return tellRevoked(output, [token, ...identities], unaware);
}

export async function revoke(output: Output, options: ServerChoice, who: string): Promise<number> {
  const { identities, unaware } = await ask(options, (client, signal) => client.revoke({ token: '', identity: who, enrolled: false }, signal));
  return tellRevoked(output, identities, unaware);
}

export async function forget(output: Output, _options: object, address: string): Promise<number> {
  const folder = identityFolder(address);
  await rm(folder, { recursive: true, force: true });
  output.note(`nothing is left of ${folder}`);
  return 0;
}

/** `standby`: where one listens that does not know of it; empty: none. */
function tellRevoked(output: Output, ids: readonly string[], standby: string): number {
  for (const id of ids) {
    if (output.json) output.event({ event: 'revoked', id, ...(standby !== '' && { standby }) });
    else output.line(`${id}: revoked`);
  }
  if (standby !== '') {
    output.note(output.colors.yellow(`the server's standby at ${standby} does not know of it: should it take over before it is back, revoke there once more; \`longtail nodes\` says when it is in step`));
  }
  return 0;
}
