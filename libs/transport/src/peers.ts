import { LongtailError, type PeerLink, type PeerNetwork } from '@longtail/core';
import type { Crc32c } from '@longtail/protocol';
import { formatAddress, parseAddress } from './address.js';
import type { CurveKeys } from './curve.js';
import { DirectLink } from './direct-link.js';
import type { EmulatedLink } from './emulated-link.js';
import { TensorDealer } from './tensor-dealer.js';
import { TensorRouter } from './tensor-router.js';
import type { UploadLimit } from './upload-limit.js';

/** How long the two ends of a link may take to find each other. */
const OPEN_MS = 10_000;

/** The server tells both ends of a link at about the same time: the one that dials may be the first to know. */
const GREET_EVERY_MS = 100;

/** Keys tell links apart; workers need no other name for each other. */
const INCARNATION = 'peer';

export interface PeerOptions {
  /** Address to listen on, which neighbours dial. @default '127.0.0.1', which only workers of this machine reach */
  readonly host?: string;
  readonly crc32c: Crc32c;
  /** Tensors keep to it, those of a session that has it too included. @default none */
  readonly uploadLimit?: UploadLimit;
  /** Links go over it, whoever dials. @default the machine's own */
  readonly link?: EmulatedLink;
  /** Links are encrypted with these, and open only between the keys that the server told. @default no encryption */
  readonly curve?: CurveKeys;
  /** A stranger's bytes were dropped. */
  readonly onDropped?: (reason: string) => void;
}

export interface PeerEndpoint extends PeerNetwork {
  /** Ends all links with the reason and frees the port. */
  close(reason: string): Promise<void>;
}

/**
 * A worker's side of direct links: one socket that listens on a free port, and one for each neighbour that it dials. Frames,
 * checksums, credits and keys are those of a session's tensors (docs/adr/0005). Throws LongtailError `unreachable` when the host
 * is not an address of this machine.
 */
export async function openPeers(options: PeerOptions): Promise<PeerEndpoint> {
  const { host = '127.0.0.1', crc32c, onDropped, uploadLimit, link: throttled, curve: own } = options;
  const links = new Set<PeerLink>();
  const dropped = onDropped ?? ((): void => undefined);
  const inside = throttled === undefined ? host : '127.0.0.1';
  const curve = own && { own, patienceMs: OPEN_MS };
  const router = await TensorRouter.bind({ host: inside, port: 0, crc32c, memory: undefined, uploadLimit, curve, dropped, flag: '--listen' });
  const port = throttled === undefined ? router.port : await throttled.from(host, router.port, 'tensors').catch(async (error: unknown) => {
    await router.close();
    throw error;
  });
  void router.watchPeers();
  const add = (link: PeerLink): PeerLink => {
    links.add(link);
    return link;
  };
  return {
    address: formatAddress({ host, port }),
    accept: async (key, signal, curveKey) => add(await accept(router, key, curveKey, signal, (link) => links.delete(link))),
    dial: async (address, key, signal, curveKey = '') => add(await dialPeer(address, key, curveKey, options, signal, (link) => links.delete(link))),
    close: async (reason) => {
      for (const link of links) link.close(reason);
      await router.drained();
      await router.close();
    },
  };
}

async function accept(
  router: TensorRouter,
  key: string,
  curveKey: string | undefined,
  signal: AbortSignal,
  forget: (link: PeerLink) => void,
): Promise<PeerLink> {
  signal.throwIfAborted();
  const opening = deferred<void>();
  const seat = router.seat(INCARNATION, opening.resolve, (error) => direct.fail(error), curveKey, key);
  const direct: DirectLink = new DirectLink({
    peer: 'the neighbour that dials',
    link: seat.link,
    release: () => {
      seat.leave();
      forget(direct);
      opening.reject(new LongtailError('the link was closed', { code: 'unreachable' }));
    },
  });
  return opened(direct, opening.promise, 'no neighbour came with the key of the link', signal);
}

async function dialPeer(
  address: string,
  key: string,
  curveKey: string,
  { crc32c, uploadLimit, link, curve }: PeerOptions,
  signal: AbortSignal,
  forget: (link: PeerLink) => void,
): Promise<PeerLink> {
  signal.throwIfAborted();
  const target = parseAddress(address);
  const dealer = new TensorDealer({
    address: target,
    via: await link?.to(target, 'tensors'),
    standsFor: link?.standsFor,
    key,
    incarnation: INCARNATION,
    crc32c,
    memory: undefined,
    uploadLimit,
    curve: curve && { own: curve, theirs: curveKey },
    greetEveryMs: GREET_EVERY_MS,
    failed: (error) => direct.fail(error),
  });
  const direct: DirectLink = new DirectLink({
    peer: address,
    link: dealer.link,
    release: () => {
      void dealer.closeAfterSending();
      forget(direct);
    },
  });
  return opened(direct, dealer.opened, `nobody at ${address} knows the key of the link`, signal);
}

/** The link once it is open; closed when that takes too long or nobody wants it any more. */
async function opened(link: DirectLink, opening: Promise<void>, complaint: string, signal: AbortSignal): Promise<PeerLink> {
  const giveUp = deferred<never>();
  const timer = setTimeout(() => giveUp.reject(new LongtailError(`${complaint} within ${OPEN_MS / 1000} s`, { code: 'timeout' })), OPEN_MS);
  const aborted = (): void => giveUp.reject(signal.reason as Error);
  signal.addEventListener('abort', aborted, { once: true });
  try {
    await Promise.race([opening, giveUp.promise]);
    return link;
  } catch (error) {
    link.close('the link did not open');
    throw error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', aborted);
    giveUp.promise.catch(() => undefined);
  }
}

function deferred<T>(): { readonly promise: Promise<T>; resolve(value: T): void; reject(error: unknown): void } {
  let settle!: { resolve(value: T): void; reject(error: unknown): void };
  const promise = new Promise<T>((resolve, reject) => (settle = { resolve, reject }));
  promise.catch(() => undefined);
  return { promise, ...settle };
}
