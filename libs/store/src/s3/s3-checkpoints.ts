import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { LongtailError } from '@longtail/core';
import { nextPlace, outlived, placesIn, type Place } from '../checkpoint-places.js';
import type { CheckpointStore } from '../checkpoint-store.js';
import { CHECKPOINT_FILES, checkpointFolder, type Checkpoint, type CheckpointFolder } from '../checkpoints.js';
import { withStorageErrors } from '../storage-error.js';
import { Bucket } from './bucket.js';

/** Uploaded last, removed first: a checkpoint without it is none. */
const MARKER = CHECKPOINT_FILES.at(-1)!;

/** Checkpoints in a bucket, `<prefix>/<run>/v00000012/…`, of the same files as on a disk. Errors as of `Bucket.open`. */
export async function openS3Checkpoints(location: string): Promise<CheckpointStore> {
  const bucket = await Bucket.open(location);
  return { name: bucket.urlOf(''), of: (run, folder, { keep }) => new S3Checkpoints(bucket, run, folder, keep) };
}

/**
 * Written to the disk first, then uploaded. What the store does not take stays on the disk until it takes a later one; so what is
 * on the disk is always newer than what is in the store.
 */
class S3Checkpoints implements CheckpointFolder {
  private readonly local: CheckpointFolder;

  constructor(
    private readonly bucket: Bucket,
    private readonly run: string,
    private readonly folder: string,
    private readonly keep: number,
  ) {
    this.local = checkpointFolder(folder, { keep: 1 });
  }

  async versions(): Promise<readonly number[]> {
    const [here, there] = await Promise.all([this.local.versions(), this.places()]);
    return [...new Set([...here, ...there.map(({ version }) => version)])].sort((a, b) => b - a);
  }

  async read(version: number): Promise<Checkpoint> {
    if ((await this.local.versions()).includes(version)) return this.local.read(version);
    const place = (await this.places()).find((candidate) => candidate.version === version);
    if (place !== undefined) return this.fetch(place);
    throw new LongtailError(`There is no checkpoint of version ${version}.`, { code: 'missing-file', where: this.bucket.urlOf(this.run) });
  }

  async latest(onDamaged: (error: LongtailError) => void): Promise<Checkpoint | undefined> {
    const here = await this.local.latest(onDamaged);
    if (here !== undefined) return here;
    for (const place of await this.places()) {
      try {
        return await this.fetch(place);
      } catch (error) {
        if (!(error instanceof LongtailError) || (error.code !== 'checksum' && error.code !== 'invalid-file' && error.code !== 'missing-file')) throw error;
        onDamaged(error);
      }
    }
    return undefined;
  }

  async write(checkpoint: Checkpoint): ReturnType<CheckpointFolder['write']> {
    const { path, bytes } = await this.local.write(checkpoint);
    try {
      const uploaded = await this.upload(path, checkpoint.version);
      await rm(this.folder, { recursive: true });
      return { path: uploaded, bytes };
    } catch (error) {
      return { path, bytes, behind: LongtailError.from(error, 'storage') };
    }
  }

  private async upload(path: string, version: number): Promise<string> {
    const keys = await this.bucket.list(`${this.run}/`);
    const places = placesOf(keys);
    const name = nextPlace(version, places);
    const whole = new Set(places.map((place) => place.name));
    for (const key of keys) if (!whole.has(placeOf(key))) await this.bucket.remove(key); // of an upload that broke off
    for (const file of CHECKPOINT_FILES) await this.bucket.upload(join(path, file), this.keyOf(name, file));
    const now = placesOf([...keys, this.keyOf(name, MARKER)]);
    for (const old of outlived(version, now, this.keep)) for (const file of [...CHECKPOINT_FILES].reverse()) await this.bucket.remove(this.keyOf(old.name, file));
    return this.bucket.urlOf(`${this.run}/${name}`);
  }

  private async fetch({ name, version }: Place): Promise<Checkpoint> {
    // Not in the folder itself, which whoever writes removes.
    const above = dirname(this.folder);
    const spool = await withStorageErrors('make a folder', above, async () => {
      await mkdir(above, { recursive: true });
      return mkdtemp(join(above, '.fetched-'));
    });
    try {
      const path = join(spool, name);
      await mkdir(path);
      for (const file of CHECKPOINT_FILES) await this.bucket.download(this.keyOf(name, file), join(path, file));
      return await checkpointFolder(spool, { keep: 1 }).read(version);
    } finally {
      await rm(spool, { recursive: true, force: true });
    }
  }

  private async places(): Promise<readonly Place[]> {
    return placesOf(await this.bucket.list(`${this.run}/`));
  }

  private keyOf(place: string, file: string): string {
    return `${this.run}/${place}/${file}`;
  }
}

function placesOf(keys: readonly string[]): readonly Place[] {
  return placesIn(keys.filter((key) => basename(key) === MARKER).map(placeOf));
}

function placeOf(key: string): string {
  return key.split('/').at(-2) ?? '';
}
