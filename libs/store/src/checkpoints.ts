import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isStateQuantized, layOut, LongtailError, serverOptimizer, type Job, type LeaseBookState, type ParameterLayout, type StateVector, type Verdict } from '@longtail/core';
import { syncFolder, writeFileAtomic } from './atomic.js';
import { nextPlace, outlived, placesIn, type Place } from './checkpoint-places.js';
import { openSafetensors, readFlat, tensorsOf, writeSafetensors, type TensorSource, type WrittenFile } from './safetensors/index.js';
import { ensureDiskSpace, withStorageErrors } from './storage-error.js';

/** Everything a run needs to go on as if it had never stopped. */
export interface Checkpoint {
  readonly run: string;
  readonly job: Job;
  /** Commits behind the parameters, and optimizer steps. */
  readonly version: number;
  readonly steps: number;
  readonly leaseBook: LeaseBookState;
  /** Where seeded generators stand, by name. */
  readonly rng: Readonly<Record<string, number>>;
  /** Of the data. */
  readonly validationSamples: number;
  /** Of the model; undefined: nobody counted. */
  readonly blocks: number | undefined;
  readonly metrics: Verdict['metrics'];
  readonly layout: ParameterLayout;
  readonly parameters: Float32Array;
  /** Moment vectors of the optimizer as they are kept: each as long as the parameters, or blocks of them in 8 bits. */
  readonly state: readonly StateVector[];
}

export interface WrittenCheckpoint {
  /** Where it is. */
  readonly path: string;
  readonly bytes: number;
  /** Why that is on this machine alone: the store that it belongs in did not take it. It is read from there, and another one is sent with the next. */
  readonly behind?: LongtailError;
}

export interface CheckpointFolder {
  /** Durable and whole when it resolves; newer ones, and older ones beyond the newest `keep`, are removed then. The vectors must not change meanwhile. LongtailError `storage`. */
  write(checkpoint: Checkpoint): Promise<WrittenCheckpoint>;
  /** Versions there are, newest first. */
  versions(): Promise<readonly number[]>;
  /** Reads a version and verifies its checksums. LongtailError `checksum`, `invalid-file`, `missing-file`. */
  read(version: number): Promise<Checkpoint>;
  /** The newest version that verifies; `onDamaged` hears of each that does not. Undefined when there is none. */
  latest(onDamaged: (error: LongtailError) => void): Promise<Checkpoint | undefined>;
}

const PARAMETERS = 'parameters.safetensors';
const OPTIMIZER = 'optimizer.safetensors';
const SIDECAR = 'checkpoint.json';
const FORMAT = 2;

/** Of each checkpoint; the last one has the checksums of the others, and is written when they are. */
export const CHECKPOINT_FILES = [PARAMETERS, OPTIMIZER, SIDECAR] as const;

/** What goes into `checkpoint.json`; `sha256` is that of the rest as JSON. */
interface Sidecar extends Omit<Checkpoint, 'parameters' | 'state' | 'layout'> {
  readonly format: number;
  readonly layout: readonly { readonly name: string; readonly shape: readonly number[]; readonly trainable: boolean }[];
  readonly stateVectors: number;
  readonly files: Readonly<Record<string, WrittenFile>>;
}

/** Checkpoints of one run: a folder for each version, which takes its name only when everything in it is on the disk. */
export function checkpointFolder(folder: string, options: { readonly keep: number }): CheckpointFolder {
  return {
    versions: async () => [...new Set((await listPlaces(folder)).map(({ version }) => version))],
    async read(version) {
      const place = (await listPlaces(folder)).find((candidate) => candidate.version === version);
      if (!place) throw new LongtailError(`There is no checkpoint of version ${version}.`, { code: 'missing-file', where: folder });
      return readCheckpoint(join(folder, place.name));
    },
    write: (checkpoint) =>
      withStorageErrors('write the checkpoint', folder, async () => {
        const path = join(folder, nextPlace(checkpoint.version, await listPlaces(folder)));
        const bytes = await writeCheckpoint(folder, path, checkpoint);
        for (const old of outlived(checkpoint.version, await listPlaces(folder), options.keep)) await rm(join(folder, old.name), { recursive: true, force: true });
        return { path, bytes };
      }),
    async latest(onDamaged) {
      for (const { name } of await listPlaces(folder)) {
        try {
          return await readCheckpoint(join(folder, name));
        } catch (error) {
          if (!(error instanceof LongtailError)) throw error;
          onDamaged(error);
        }
      }
      return undefined;
    },
  };
}

async function listPlaces(folder: string): Promise<readonly Place[]> {
  const names = await withStorageErrors('list the checkpoints', folder, () =>
    readdir(folder).catch((error: NodeJS.ErrnoException) => (error.code === 'ENOENT' ? [] : Promise.reject(error))),
  );
  return placesIn(names);
}

async function writeCheckpoint(folder: string, path: string, checkpoint: Checkpoint): Promise<number> {
  const { layout, parameters, state, ...rest } = checkpoint;
  await mkdir(folder, { recursive: true });
  await removeUnfinished(folder);
  await ensureDiskSpace(folder, state.reduce((bytes, vector) => bytes + vector.byteLength, parameters.byteLength));
  const temporary = join(folder, `.${rest.version}.${randomBytes(6).toString('hex')}.tmp`);
  try {
    await mkdir(temporary);
    const files = {
      [PARAMETERS]: await writeSafetensors(join(temporary, PARAMETERS), tensorsOf(parameters, layout)),
      [OPTIMIZER]: await writeSafetensors(
        join(temporary, OPTIMIZER),
        state.flatMap((vector, i) => stateTensors(vector, layout, i)),
      ),
    };
    const tensors = layout.slots.map(({ name, shape, trainable }) => ({ name, shape, trainable }));
    const sidecar: Sidecar = {
      format: FORMAT,
      ...rest,
      layout: tensors,
      stateVectors: state.length,
      files,
    };
    const text = encodeSidecar(sidecar);
    await writeFileAtomic(join(temporary, SIDECAR), text);
    await rename(temporary, path);
    await syncFolder(folder);
    return files[PARAMETERS].bytes + files[OPTIMIZER].bytes + text.length;
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
}

async function readCheckpoint(path: string): Promise<Checkpoint> {
  const { format: _, layout: tensors, stateVectors, files, ...rest } = await readSidecar(join(path, SIDECAR));
  const layout = layOut(tensors);
  for (const [name, expected] of Object.entries(files)) await verify(join(path, name), expected);
  const parameters = await readFlat(join(path, PARAMETERS), layout);
  const optimizer = join(path, OPTIMIZER);
  const quantized = isStateQuantized(serverOptimizer(rest.job));
  const state: StateVector[] = [];
  for (let i = 0; i < stateVectors; i++) {
    state.push(await (quantized ? readBlocks(optimizer, i) : readFlat(optimizer, layout, undefined, statePrefix(i))));
  }
  return { ...rest, layout, parameters, state };
}

/** A tensor for each of the parameters', or the blocks of all of them as one. */
function stateTensors(vector: StateVector, layout: ParameterLayout, index: number): readonly TensorSource[] {
  if (vector instanceof Float32Array) return tensorsOf(vector, layout, 'F32', statePrefix(index));
  return [{ name: blocksName(index), dtype: 'U8', shape: [vector.length], data: vector }];
}

async function readBlocks(path: string, index: number): Promise<Uint8Array> {
  const file = await openSafetensors(path);
  try {
    return await file.readBytes(blocksName(index));
  } finally {
    await file.close();
  }
}

/** What a process that was killed while it wrote has left. */
async function removeUnfinished(folder: string): Promise<void> {
  for (const name of await readdir(folder))
    if (/^\.\d+\.[0-9a-f]+\.tmp$/.test(name)) await rm(join(folder, name), { recursive: true, force: true });
}

function statePrefix(vector: number): string {
  return `state.${vector}.`;
}

function blocksName(vector: number): string {
  return `state.${vector}`;
}

function encodeSidecar(sidecar: Sidecar): string {
  const body = JSON.parse(JSON.stringify(sidecar)) as Sidecar;
  return JSON.stringify({ ...body, sha256: sha256(JSON.stringify(body)) }, undefined, 2);
}

async function readSidecar(path: string): Promise<Sidecar> {
  const text = await withStorageErrors('read the checkpoint', path, () => readFile(path, 'utf8'));
  const { sha256: expected, ...sidecar } = parseJson(text, path) as Sidecar & { sha256: string };
  if (sha256(JSON.stringify(sidecar)) !== expected) throw damaged(path);
  if (sidecar.format !== FORMAT) {
    throw new LongtailError(`The checkpoint has format ${sidecar.format}; this version reads ${FORMAT}.`, {
      code: 'invalid-file',
      where: path,
      hint: 'Use the version of Longtail that wrote it.',
    });
  }
  return sidecar;
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw damaged(path);
  }
}

async function verify(path: string, expected: WrittenFile): Promise<void> {
  await withStorageErrors('read the checkpoint', path, async () => {
    if ((await stat(path)).size !== expected.bytes) throw damaged(path);
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Uint8Array);
    if (hash.digest('hex') !== expected.sha256) throw damaged(path);
  });
}

function damaged(path: string): LongtailError {
  return new LongtailError('The checkpoint is damaged: its checksum is wrong.', {
    code: 'checksum',
    where: path,
    hint: 'Remove its folder to go on from the one before it.',
  });
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
