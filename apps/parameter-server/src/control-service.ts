import { LongtailError } from '@longtail/core';
import type { StoredEvent } from '@longtail/protocol';
import type { Server } from '@longtail/runtime';
import type { ControlService } from '@longtail/transport';
import type { Logger } from 'pino';
import type { JobDesk } from './job-desk.js';

export interface ControlServiceOptions {
  readonly server: Server;
  readonly desk: JobDesk;
  readonly log: Logger;
}

/** What clients ask of the server, on top of the runtime: jobs are checked and resolved here, at the edge. */
export function createControlService({ server, desk, log }: ControlServiceOptions): ControlService {
  return {
    async launch({ jobJson }) {
      const { job, files } = await desk.study(parseJson(jobJson));
      const launched = await server.launch(job, files);
      log.info({ run: launched.run, job: job.name }, 'launched');
      void server.verdict(launched.run).then(({ run, status, reason }) => log.info({ run, status, reason }, 'ended'));
      return launched;
    },
    async *watch({ run, fromSeq }, signal): AsyncIterable<StoredEvent> {
      for await (const { seq, timeMs, body } of server.watch(run, fromSeq, signal)) {
        yield { seq, timeMs, bodyJson: JSON.stringify(body) };
      }
    },
    async cancel({ run, reason }) {
      return { status: await server.cancel(run, reason || 'cancelled by a client') };
    },
    async listJobs() {
      return { jobs: server.jobs() };
    },
    async listNodes() {
      return { nodes: server.nodes(), peers: server.peers() };
    },
    async getServer() {
      return server.info();
    },
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new LongtailError('The job is not JSON.', { code: 'invalid-file', cause: error });
  }
}
