import { LongtailError } from '@longtail/core';

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** `host:port` or `[v6]:port`. Throws LongtailError `usage`. */
export function parseAddress(text: string): Address {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]/]+)):(\d{1,5})$/.exec(text.trim());
  const port = Number(match?.[3]);
  if (match === null || port < 1 || port > 65_535) {
    throw new LongtailError(`"${text}" is not an address`, { code: 'usage', hint: 'Write HOST:PORT, for example 127.0.0.1:7077.' });
  }
  return { host: (match[1] ?? match[2])!, port };
}

export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** The error of a failed bind, told as the user can mend it. */
export function bindFailure(address: Address, flag: string, cause: unknown): LongtailError {
  const where = formatAddress(address);
  const text = cause instanceof Error ? `${(cause as NodeJS.ErrnoException).code ?? ''} ${cause.message}` : String(cause);
  if (/EADDRINUSE|address already in use/i.test(text)) {
    return new LongtailError(`port ${address.port} on ${address.host} is in use`, {
      code: 'address-in-use',
      where,
      hint: `End the program that listens there, or choose another port with ${flag}.`,
      cause,
    });
  }
  return new LongtailError(`cannot listen on ${where}: ${text.trim()}`, {
    code: 'unreachable',
    where,
    hint: 'The host must be an address of this machine.',
    cause,
  });
}
