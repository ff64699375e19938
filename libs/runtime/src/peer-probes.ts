import { LongtailError, type PeerLink, type TensorChunk } from '@longtail/core';
import type { PeerProbed, ProbePeer } from '@longtail/protocol';
import { measureMessage, measureSending, privateMemory } from './measure-sending.js';
import { within } from './within.js';
import type { WorkerRunContext } from './worker-run-context.js';

/** Who can be reached answers at once: on hosts behind a firewall nobody ever does. */
const OPEN_MS = 3000;

/** The links that a worker measures to others of a run, whether it has a place in it yet or trains: who joins later has none to it. */
export class PeerProbes {
  private readonly lifetime = new AbortController();
  private readonly links = new Set<PeerLink>();

  constructor(
    readonly run: string,
    private readonly context: WorkerRunContext,
  ) {}

  end(reason: string): void {
    this.lifetime.abort(new LongtailError(reason, { code: 'cancelled' }));
    for (const link of this.links) link.close(reason);
  }

  /** Measures the way to another worker, who measures the way back. The link stays open for that, until the end. Never rejects. */
  async measure({ node, address, key, curveKey, mostBytes }: ProbePeer): Promise<void> {
    const { run, lifetime, context } = this;
    const { signal } = lifetime;
    const answer = (figures: Omit<PeerProbed, 'run' | 'node'>) => {
      if (!signal.aborted) context.session.send({ message: 'peerProbed', peerProbed: { run, node, ...figures } });
    };
    try {
      const { clock, peers, allocate = privateMemory } = context;
      if (peers === undefined) throw new LongtailError('this worker has no direct links', { code: 'unreachable' });
      const link = await within(OPEN_MS, { clock, signal }, (limit) =>
        address === '' ? peers.accept(key, limit, curveKey) : peers.dial(address, key, limit, curveKey),
      );
      const received = this.adopt(link);
      const rate = await measureSending(link, { clock, allocate, mostBytes, signal });
      answer({ ...rate, messageMs: await measureMessage(link, rate, { clock, allocate, signal, received }), problem: '' });
    } catch (error) {
      answer({ bitsPerSecond: 0, roundTripMs: 0, messageMs: 0, problem: LongtailError.from(error, 'unreachable').message });
    }
  }

  /** Returns how many bytes have come over it. */
  private adopt(link: PeerLink): () => number {
    this.links.add(link);
    let received = 0;
    const tensor = ({ payload }: TensorChunk) => void (received += payload.length);
    link.start({ place: () => 'borrow', tensor, closed: () => this.links.delete(link) });
    if (this.lifetime.signal.aborted) link.close('the run is over');
    return () => received;
  }
}
