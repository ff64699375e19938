import { basename, join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { LongtailError, standingEvents, type Job, type StoredEvent } from '@longtail/core';
import { createCodec, createKernels } from '@longtail/kernels';
import { Replay, type ReplayedCommit } from '@longtail/runtime';
import { checkpointFolder, readEvents, readFlat, readRecording, RUN_FILES, type RecordedRun } from '@longtail/store';
import { composeShard } from './compose-shard.js';
import { differenceOf, type Difference, type KeptShard } from './difference.js';

/** Parameters that the folder of a run has, and what came of holding them against those that were computed. */
export interface KeptVersion {
  readonly what: 'checkpoint' | 'model';
  readonly version: number;
  readonly agrees: boolean;
  readonly difference?: Difference;
  /** Why it cannot be read. */
  readonly reason?: string;
}

/** Where the bits differ first. */
interface FirstDifference {
  readonly version: number;
  /** The last version that is known to agree. */
  readonly after: number;
  readonly reason: string;
  /** That the version is made of. */
  readonly contributions: readonly { readonly node: string; readonly name: string; readonly round: number; readonly samples: number; readonly weight: number }[];
}

export interface ReplayReport {
  readonly run: string;
  readonly name: string;
  readonly result: 'agree' | 'differ' | 'incomplete';
  /** That was asked for. */
  readonly version: number;
  /** Last one that was computed. */
  readonly computed: number;
  readonly commits: number;
  readonly bytes: number;
  readonly kept: readonly KeptVersion[];
  readonly first?: FirstDifference;
  /** Why the versions after `computed` could not be computed. */
  readonly missing?: LongtailError;
}

export interface ReplayRunOptions {
  /** Version to end with. @default the last one */
  readonly at?: number;
  readonly progress?: (version: number, last: number) => void;
}

const kernels = createKernels();
const crc32c = (bytes: Uint8Array, previous?: number): number => kernels.crc32c(bytes, previous);

/**
 * Recomputes the parameters of a recorded run from its folder alone, and holds every version against the checksums of its log,
 * its checkpoints and its model. Throws LongtailError `usage` for a run that was not recorded or has no such version, `checksum`
 * where what the recording begins with is damaged.
 */
export async function replayRun(path: string, { at, progress = () => undefined }: ReplayRunOptions = {}): Promise<ReplayReport> {
  const events = standingEvents(await readEvents(join(path, RUN_FILES.events)));
  const recording = await openRecording(path);
  try {
    return await new ReplayedRun(path, events, recording).upTo(at, progress);
  } finally {
    recording.close();
  }
}

class ReplayedRun {
  private readonly job: Job;
  private readonly replay: Replay;
  private readonly kept: KeptVersion[] = [];
  private latest: ReplayedCommit = { contributions: [], checksums: [] };
  /** Last version of which nothing differs. */
  private agreed: number;
  private first: FirstDifference | undefined;
  private computed: number;
  private commits = 0;

  constructor(
    private readonly path: string,
    private readonly events: readonly StoredEvent[],
    private readonly recording: RecordedRun,
  ) {
    const { from } = recording;
    this.job = jobOf(events, path);
    this.computed = this.agreed = from.version;
    this.replay = new Replay({ job: this.job, from, exact: createCodec('fp32', kernels), createShard: (optimizer) => composeShard(from.layout, optimizer) });
  }

  async upTo(at: number | undefined, progress: NonNullable<ReplayRunOptions['progress']>): Promise<ReplayReport> {
    const { events, recording, job } = this;
    const versions = events.flatMap(({ body }) => (body.event === 'commit' ? [body.version] : []));
    if (at !== undefined && !versions.includes(at)) throw noSuchVersion(at, versions);
    const version = at ?? versions.at(-1) ?? recording.from.version;
    const missing = await this.compute(version, progress);
    const model = modelOf(events);
    if (missing === undefined && at === undefined && model !== undefined) {
      await this.hold('model', async () => ({ parameters: await readFlat(join(this.path, model), recording.from.layout) }));
    }
    const { computed, commits, kept, first } = this;
    const result = first !== undefined || missing?.code === 'differs' ? 'differ' : missing === undefined ? 'agree' : 'incomplete';
    return { run: recording.from.run, name: job.name, result, version, computed, commits, bytes: recording.bytes, kept, ...(first && { first }), ...(missing && { missing }) };
  }

  /** Returns why it had to end before the version. */
  private async compute(version: number, progress: NonNullable<ReplayRunOptions['progress']>): Promise<LongtailError | undefined> {
    const { replay, recording, events } = this;
    const checkpoints = checkpointFolder(join(this.path, RUN_FILES.checkpoints), { keep: Infinity });
    const durable = await checkpoints.versions();
    for (const { body } of events) {
      if (body.event !== 'commit') {
        replay.take(body);
        continue;
      }
      if (body.version > version) break;
      if (!recording.versions.has(body.version)) return notRecorded(this.path, this.computed, events, recording.damage);
      try {
        this.latest = replay.commit(body, recording.chunks(body.version));
      } catch (error) {
        if (error instanceof LongtailError) return error; // `checksum`, or `differs`
        throw error;
      }
      this.computed = body.version;
      this.commits++;
      const same = JSON.stringify(this.latest.checksums) === JSON.stringify(body.checksums);
      if (!same) this.differs('the parameters that its contributions make are not those that the log tells of');
      if (durable.includes(body.version)) await this.hold('checkpoint', () => checkpoints.read(body.version));
      if (this.first === undefined) this.agreed = body.version;
      progress(body.version, version);
      await turn();
    }
    return undefined;
  }

  /** Holds what the folder has of the version that was computed last against it. */
  private async hold(what: KeptVersion['what'], read: () => Promise<KeptShard>): Promise<void> {
    const { computed: version, replay, recording } = this;
    try {
      const difference = differenceOf(replay.shard, await read(), recording.from.layout);
      this.kept.push({ what, version, agrees: difference === undefined, ...(difference && { difference }) });
      if (difference !== undefined) this.differs(`the ${what} of it has other parameters than its contributions make`);
    } catch (error) {
      const { message } = LongtailError.from(error);
      this.kept.push({ what, version, agrees: false, reason: message });
      this.differs(`the ${what} of it cannot be read: ${message}`);
    }
  }

  private differs(reason: string): void {
    const { computed: version, agreed: after, latest } = this;
    const contributions = latest.contributions.map(({ node, name, round, samples, weight }) => ({ node, name, round, samples, weight }));
    this.first ??= { version, after, reason, contributions };
  }
}

async function openRecording(path: string): Promise<RecordedRun> {
  const folder = join(path, RUN_FILES.recording);
  try {
    return await readRecording(folder, { crc32c });
  } catch (error) {
    if (!(error instanceof LongtailError) || error.code !== 'missing-file') throw error;
    throw new LongtailError('The run was not recorded.', {
      code: 'usage',
      where: folder,
      hint: 'Launch its job with `longtail launch JOB --record`: contributions that were not kept cannot be had again.',
      cause: error,
    });
  }
}

/** As it was launched. */
function jobOf(events: readonly StoredEvent[], path: string): Job {
  for (const { body } of events) if (body.event === 'submitted') return body.job;
  throw new LongtailError('The event log has no beginning.', { code: 'invalid-file', where: join(path, RUN_FILES.events) });
}

/** Name of the file with the model of the last version, where the run has ended with one. */
function modelOf(events: readonly StoredEvent[]): string | undefined {
  const last = events.at(-1)?.body;
  return last?.event === 'verdict' && basename(last.model) === RUN_FILES.model ? RUN_FILES.model : undefined;
}

function noSuchVersion(at: number, versions: readonly number[]): LongtailError {
  const before = versions.filter((version) => version < at).at(-1);
  const after = versions.find((version) => version > at);
  const near = [before, after].filter((version) => version !== undefined).join(' and ');
  return new LongtailError(`The run has no version ${at}${near && `; next to it are ${near}`}.`, { code: 'usage', where: '--at', hint: 'Leave --at out for the last one.' });
}

/** What comes after `computed` is not there. */
function notRecorded(path: string, computed: number, events: readonly StoredEvent[], damage: LongtailError | undefined): LongtailError {
  if (damage !== undefined) return damage;
  const stopped = events.flatMap(({ body }) => (body.event === 'recording_stopped' ? [body.reason] : [])).at(-1);
  const goes = events.at(-1)?.body.event === 'verdict' ? '' : ' While the run goes on it lags behind; where the server died, `longtail up` goes on from a version that it has.';
  return new LongtailError(`The recording ends with version ${computed}${stopped === undefined ? '' : `: ${stopped}`}.`, {
    code: 'usage',
    where: join(path, RUN_FILES.recording),
    hint: `\`--at ${computed}\` holds what there is against the log.${goes}`,
  });
}
