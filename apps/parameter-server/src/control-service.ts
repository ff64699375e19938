import { LongtailError } from '@longtail/core';
import type { StoredEvent } from '@longtail/protocol';
import type { Server } from '@longtail/runtime';
import type { Database, RunStatus } from '@longtail/store';
import type { ControlService } from '@longtail/transport';
import type { Logger } from 'pino';
import type { JobDesk } from './job-desk.js';
import type { PastRuns } from './past-runs.js';
import type { RunRegister } from './run-register.js';

const DEFAULT_RUNS = 20;
const MOST_RUNS = 10_000;

export interface ControlServiceOptions {
  readonly server: Server;
  readonly desk: JobDesk;
  readonly past: PastRuns;
  readonly register: RunRegister;
  readonly nodes: Database['nodes'];
  readonly log: Logger;
}

/** What clients ask of the server, on top of the runtime: jobs are checked and resolved here, at the edge. */
export function createControlService({ server, desk, past, register, nodes, log }: ControlServiceOptions): ControlService {
  const follow = (run: string): void => {
    void server.verdict(run).then(({ status, reason }) => log.info({ run, status, reason }, 'ended'));
  };
  const has = (run: string): boolean => server.jobs().some((row) => row.run === run);
  return {
    async launch({ jobJson }) {
      const { job, files } = await desk.study(parseJson(jobJson, 'The job is'));
      const launched = await server.launch(job, files);
      log.info({ run: launched.run, job: job.name }, 'launched');
      follow(launched.run);
      return launched;
    },
    async resume({ run }) {
      const resumed = await past.resume(run);
      follow(run);
      return resumed;
    },
    async fork({ run, version, overridesJson }) {
      const forked = await past.fork(run, version, parseFields(overridesJson));
      log.info({ run: forked.run, from: run, version: forked.version }, 'forked');
      follow(forked.run);
      return forked;
    },
    async *watch({ run, fromSeq }, signal): AsyncIterable<StoredEvent> {
      // Of a run that another server had, or that this one is about to resume, its folder tells.
      const events = has(run) ? server.watch(run, fromSeq, signal) : (await past.events(run)).slice(Math.max(0, fromSeq - 1));
      for await (const { seq, timeMs, body } of events) {
        yield { seq, timeMs, bodyJson: JSON.stringify(body) };
      }
    },
    async cancel({ run, reason }) {
      if (has(run)) return { status: await server.cancel(run, reason || 'cancelled by a client') };
      const { status, endedAtMs, server: where } = await register.find(run);
      if (endedAtMs !== undefined) return { status };
      throw new LongtailError(`run ${run} is ${status}, not at this server`, { code: 'usage', where, hint: 'Cancel it at the server that has it; `longtail resume` goes on with an interrupted one.' });
    },
    async listJobs() {
      return { jobs: server.jobs() };
    },
    async listRuns({ limit, status }) {
      const runs = await register.list(Math.min(limit || DEFAULT_RUNS, MOST_RUNS), (status || undefined) as RunStatus | undefined);
      return { runs: runs.map((run) => ({ ...run, endedAtMs: run.endedAtMs ?? 0 })) };
    },
    async listNodes({ gone }) {
      const here = new Set(server.nodes().map(({ node }) => node));
      const seen = gone ? (await nodes.list()).filter(({ node }) => !here.has(node)) : [];
      return { nodes: server.nodes(), peers: server.peers(), gone: seen };
    },
    async orderNode({ node, order, reason }) {
      const row = server.order(node, order, reason);
      log.info({ node: row.node, order, reason }, 'ordered');
      return row;
    },
    async getServer() {
      return server.info();
    },
    async takeOver() {
      throw new LongtailError('this is no standby, but a server', { code: 'usage', hint: '`longtail nodes` says where its standby is.' });
    },
  };
}

function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new LongtailError(`${what} not JSON.`, { code: 'invalid-file', cause: error });
  }
}

function parseFields(text: string): Readonly<Record<string, unknown>> {
  const fields = parseJson(text, 'The fields to set are');
  if (typeof fields === 'object' && fields !== null && !Array.isArray(fields)) return fields as Record<string, unknown>;
  throw new LongtailError('The fields to set are no object.', { code: 'invalid-file' });
}
