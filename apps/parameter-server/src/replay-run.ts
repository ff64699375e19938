import { basename, join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { LongtailError, standingEvents, type ErrorCode, type Job, type RunEvent, type StoredEvent } from '@longtail/core';
import { createCodec, createKernels } from '@longtail/kernels';
import { recordedIn, Replay, type ReplayedCommit } from '@longtail/runtime';
import { BESIDE_LOGS, readEvents, readFlat, readRecording, RUN_FILES, type CheckpointFolder, type CheckpointStore, type RecordedPart } from '@longtail/store';
import { composeShard } from './compose-shard.js';
import { differenceOf, type Difference, type KeptShard } from './difference.js';

/** Parameters that the folder of a run has, and what came of holding them against those that were computed. */
export interface KeptVersion {
  /** `takeover`: what a standby began its part of the recording with. */
  readonly what: 'checkpoint' | 'model' | 'takeover';
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
  /** Versions that were computed one of the other. */
  readonly checked: readonly CheckedVersions[];
  readonly commits: number;
  readonly bytes: number;
  readonly kept: readonly KeptVersion[];
  readonly first?: FirstDifference;
  /** Why the first of those that are not in `checked` could not be computed. */
  readonly missing?: LongtailError;
}

interface CheckedVersions {
  /** That they go on from. */
  readonly after: number;
  readonly upTo: number;
}

export interface ReplayRunOptions {
  /** Where the checkpoints are. @default in the folder of the run */
  readonly checkpoints?: CheckpointStore;
  /** Version to end with. @default the last one */
  readonly at?: number;
  readonly progress?: (version: number, last: number) => void;
}

type Commit = Extract<RunEvent, { readonly event: 'commit' }>;

/** Of a file that is there, or was when the folder was listed. */
const DAMAGE: ReadonlySet<ErrorCode> = new Set(['checksum', 'invalid-file', 'missing-file']);
const kernels = createKernels();
const crc32c = (bytes: Uint8Array, previous?: number): number => kernels.crc32c(bytes, previous);

/**
 * Recomputes the parameters of a recorded run from its folder alone, and holds every version against the checksums of its log,
 * its checkpoints and its model. Throws LongtailError `usage` for a run that was not recorded or has no such version, `checksum`
 * where what the recording begins with is damaged, and what the store of the checkpoints throws.
 */
export async function replayRun(path: string, { at, checkpoints = BESIDE_LOGS, progress = () => undefined }: ReplayRunOptions = {}): Promise<ReplayReport> {
  const events = standingEvents(await readEvents(join(path, RUN_FILES.events)));
  const parts = await openRecording(path);
  try {
    const kept = checkpoints.of(parts[0]!.from.run, join(path, RUN_FILES.checkpoints), { keep: Infinity });
    return await new ReplayedRun(path, events, parts, kept).upTo(at, progress);
  } finally {
    for (const part of parts) part.close();
  }
}

class ReplayedRun {
  private readonly job: Job;
  private readonly replay: Replay;
  private readonly kept: KeptVersion[] = [];
  private readonly checked: { readonly after: number; upTo: number }[] = [];
  private latest: ReplayedCommit = { contributions: [], checksums: [] };
  /** Last version of which nothing differs. */
  private agreed = 0;
  private first: FirstDifference | undefined;
  private missing: LongtailError | undefined;
  /** What `replay` holds; undefined: what comes next was not recorded. */
  private at: number | undefined;
  /** That it is in. */
  private part: RecordedPart | undefined;
  private commits = 0;

  constructor(
    private readonly path: string,
    private readonly events: readonly StoredEvent[],
    private readonly parts: readonly RecordedPart[],
    private readonly checkpoints: CheckpointFolder,
  ) {
    const { from } = parts[0]!;
    this.job = jobOf(events, path);
    this.replay = new Replay({ job: this.job, from, exact: createCodec('fp32', kernels), createShard: (optimizer) => composeShard(from.layout, optimizer) });
  }

  async upTo(at: number | undefined, progress: NonNullable<ReplayRunOptions['progress']>): Promise<ReplayReport> {
    const { events, parts, job, layout } = this;
    const versions = events.flatMap(({ body }) => (body.event === 'commit' ? [body.version] : []));
    if (at !== undefined && !versions.includes(at)) throw noSuchVersion(at, versions);
    const version = at ?? versions.at(-1) ?? parts.at(-1)!.from.version;
    await this.compute(version, progress);
    const model = modelOf(events);
    if (this.at === version && at === undefined && model !== undefined) {
      await this.hold('model', async () => ({ parameters: await readFlat(join(this.path, model), layout) }));
    }
    const { commits, kept, first, missing } = this;
    const checked = this.checked.filter(({ after, upTo }) => upTo > after);
    const computed = checked.at(-1)?.upTo ?? parts[0]!.from.version;
    const bytes = parts.reduce((sum, part) => sum + part.bytes, 0);
    const result = first !== undefined || missing?.code === 'differs' ? 'differ' : missing === undefined ? 'agree' : 'incomplete';
    return { run: parts[0]!.from.run, name: job.name, result, version, computed, checked, commits, bytes, kept, ...(first && { first }), ...(missing && { missing }) };
  }

  private get layout() {
    return this.parts[0]!.from.layout;
  }

  private async compute(version: number, progress: NonNullable<ReplayRunOptions['progress']>): Promise<void> {
    const durable = await this.checkpoints.versions();
    for (const { body, recorded } of recordedIn(this.events)) {
      if (body.event === 'recording' && body.version <= version) await this.enter(body.version);
      if (body.event !== 'commit') {
        this.replay.take(body);
        continue;
      }
      if (body.version > version) break;
      if (this.at === undefined || !recorded || !this.commit(body)) {
        this.missing ??= notRecorded(this.path, this.events, body, recorded, this.part);
        this.at = undefined;
        continue;
      }
      if (durable.includes(body.version)) await this.hold('checkpoint', () => this.checkpoints.read(body.version));
      if (this.first === undefined) this.agreed = body.version;
      progress(body.version, version);
      await turn();
    }
  }

  /** A part of the recording begins: what was computed so far has led there, or is not known. */
  private async enter(version: number): Promise<void> {
    const [before, part] = [this.part, this.parts.find(({ from }) => from.version === version)];
    this.part = part;
    if (part === undefined) this.at = undefined;
    else if (part !== before && this.at === version) await this.hold('takeover', () => Promise.resolve(part.from));
    else {
      this.replay.goOnFrom(part.from);
      this.at = this.agreed = version;
      this.checked.push({ after: version, upTo: version });
    }
  }

  /** Computes a version; false where what it is made of is not there. */
  private commit(commit: Commit): boolean {
    const { part } = this;
    if (!part?.versions.has(commit.version)) return false;
    try {
      this.latest = this.replay.commit(commit, part.chunks(commit.version));
    } catch (error) {
      if (!(error instanceof LongtailError)) throw error;
      this.missing ??= error; // `checksum`, or `differs`
      return false;
    }
    this.at = this.checked.at(-1)!.upTo = commit.version;
    this.commits++;
    const same = JSON.stringify(this.latest.checksums) === JSON.stringify(commit.checksums);
    if (!same) this.differs('the parameters that its contributions make are not those that the log tells of');
    return true;
  }

  /** Holds what the folder has of the version that was computed last against it. */
  private async hold(what: KeptVersion['what'], read: () => Promise<KeptShard>): Promise<void> {
    const { replay, layout } = this;
    const version = this.at!;
    try {
      const difference = differenceOf(replay.shard, await read(), layout);
      this.kept.push({ what, version, agrees: difference === undefined, ...(difference && { difference }) });
      if (difference !== undefined) this.differs(`the ${what} of it has other parameters than its contributions make`);
    } catch (error) {
      if (!(error instanceof LongtailError) || !DAMAGE.has(error.code)) throw error;
      const { message } = error;
      this.kept.push({ what, version, agrees: false, reason: message });
      this.differs(`the ${what} of it cannot be read: ${message}`);
    }
  }

  private differs(reason: string): void {
    const { agreed: after, latest } = this;
    const version = this.at!;
    const contributions = latest.contributions.map(({ node, name, round, samples, weight }) => ({ node, name, round, samples, weight }));
    this.first ??= { version, after, reason, contributions };
  }
}

async function openRecording(path: string): Promise<readonly RecordedPart[]> {
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

/** What makes the version is not there; `part`: of the recording, that has what came before, where it is here. */
function notRecorded(path: string, events: readonly StoredEvent[], commit: Commit, recorded: boolean, part: RecordedPart | undefined): LongtailError {
  const at = events.findIndex(({ body }) => body === commit);
  const ends = ({ body: { event } }: StoredEvent) => event === 'recording_stopped' || event === 'taken_over';
  const end = (recorded ? events.slice(at).find(ends) : events.slice(0, at).findLast(ends))?.body;
  const where = join(path, RUN_FILES.recording);
  if (recorded && part === undefined) {
    const from = end?.event === 'taken_over' ? end.from : 'another server';
    return new LongtailError(`Version ${commit.version} was recorded by ${from}.`, {
      code: 'usage',
      where,
      hint: `Copy what is in \`${RUN_FILES.recording}/\` of the run's folder there into this one: replay goes over all of it.`,
    });
  }
  const versions = [...(part?.versions ?? [])];
  const there = versions.filter((version) => version < commit.version).at(-1) ?? part?.from.version ?? 0;
  if (part?.damage !== undefined && there === (versions.at(-1) ?? part.from.version)) return part.damage;
  if (end?.event === 'taken_over') {
    return new LongtailError(`What ${end.from} recorded ends with version ${there}.`, {
      code: 'usage',
      where,
      hint: `What it took in as it died is not there. Its standby went on from version ${end.version}, and recorded what came then.`,
    });
  }
  const ended = end?.event === 'recording_stopped' ? end : undefined;
  const last = ended?.version ?? there;
  const goes = events.at(-1)?.body.event === 'verdict' ? '' : ' While the run goes on it lags behind; where the server died, `longtail up` goes on from a version that it has.';
  return new LongtailError(`The recording ends with version ${last}${ended === undefined ? '' : `: ${ended.reason}`}.`, {
    code: 'usage',
    where,
    hint: `\`--at ${last}\` holds what there is against the log.${goes}`,
  });
}
