import { Worker } from 'node:worker_threads';
import { LongtailError, type AskLayout, type Job, type LayoutRequest, type ModelProfile, type RunLayout, type WireError } from '@longtail/core';
import { isSearchedFor, plannedLayout } from '@longtail/layout';

export interface SearchedLayout {
  readonly request: LayoutRequest;
  readonly profile: ModelProfile;
}

/** Errors do not cross between threads as what they are. */
export type LayoutReply =
  | { readonly kind: 'done'; readonly layout: Omit<RunLayout, 'shortfall'> & { readonly shortfall: WireError | undefined } }
  | { readonly kind: 'failed'; readonly error: WireError };

/** Of `layout-thread.js`. */
export type StartThread = (workerData: SearchedLayout) => Worker;

/** Of so few nodes a plan is made sooner than a thread has started. */
const AT_ONCE = 3;

const startThread: StartThread = (workerData) => new Worker(new URL('./layout-thread.js', import.meta.url), { workerData });

/** As `plannedLayout`, but that the planner searches on a thread of its own, which ends with it: that takes from a third of a second to minutes, and the server's event loop has heartbeats to answer. */
export function layoutBeside(profileOf: (job: Job) => ModelProfile | undefined, start: StartThread = startThread): AskLayout {
  const atOnce = plannedLayout(profileOf);
  return (request, signal) => {
    const profile = profileOf(request.job);
    if (profile === undefined || request.nodes.length <= AT_ONCE || !isSearchedFor(request, profile)) return atOnce(request);
    return signal.aborted ? Promise.reject(signal.reason as LongtailError) : onThread(start({ request, profile }), signal);
  };
}

function onThread(thread: Worker, signal: AbortSignal): Promise<RunLayout> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      void thread.terminate();
      reject(signal.reason as LongtailError);
    };
    signal.addEventListener('abort', abort);
    thread.once('message', (reply: LayoutReply) => {
      if (reply.kind === 'failed') return reject(LongtailError.fromWire(reply.error));
      const { shortfall, ...layout } = reply.layout;
      resolve(shortfall === undefined ? layout : { ...layout, shortfall: LongtailError.fromWire(shortfall) });
    });
    thread.once('error', reject);
    thread.once('exit', () => {
      signal.removeEventListener('abort', abort);
      reject(new LongtailError('Planning ended without a result.', { code: 'internal' }));
    });
  });
}
