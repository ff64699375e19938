import { createWriteStream } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadBucketCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
  type CompletedPart,
} from '@aws-sdk/client-s3';
import { LongtailError, type ErrorCode } from '@longtail/core';
import { readFully } from '../atomic.js';
import { withStorageErrors } from '../storage-error.js';

/** In memory at a time; larger files go up in parts of it. */
const PART_BYTES = 8 * 2 ** 20;
/** S3's limit. */
const MOST_PARTS = 10_000;
const CONNECT_MS = 5000;
/** Nothing came or went for so long. */
const SILENCE_MS = 20_000;
const ATTEMPTS = 4;

const ACCESS = 'Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or the profile that AWS_PROFILE names), and what they may do in this bucket: list, read, write and delete.';

/** One bucket of an S3-compatible store. LongtailError `unreachable`, `refused`, `missing-file`, `storage`. */
export class Bucket {
  private constructor(
    private readonly client: S3Client,
    private readonly bucket: string,
    /** Ends with a slash, or is empty. */
    private readonly prefix: string,
  ) {}

  /**
   * `s3://bucket/prefix?endpoint=https://…&region=…`; what is left out, and the keys, are as for every AWS tool: the environment, then the
   * profile. Resolves when the bucket has answered. LongtailError `usage` when it is no such URL, and as above.
   */
  static async open(location: string): Promise<Bucket> {
    const { bucket, prefix, endpoint, region } = parseLocation(location);
    // That the SDK's releases of 2027 need Node 22 is no concern of whoever runs this one.
    process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= 'true';
    const client = new S3Client({
      region: region ?? process.env.AWS_REGION ?? process.env.AWS_DEFAULT_REGION ?? 'us-east-1',
      ...(endpoint === undefined ? {} : { endpoint }),
      // Stores other than AWS's seldom have a name for each bucket, or know checksums other than the signature's.
      forcePathStyle: endpoint !== undefined || process.env.AWS_ENDPOINT_URL_S3 !== undefined || process.env.AWS_ENDPOINT_URL !== undefined,
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      maxAttempts: ATTEMPTS,
      requestHandler: { connectionTimeout: CONNECT_MS, socketTimeout: SILENCE_MS },
    });
    const opened = new Bucket(client, bucket, prefix);
    await opened.known('open the bucket', '', () => client.send(new HeadBucketCommand({ Bucket: bucket })));
    return opened;
  }

  /** For people, and for other tools. */
  urlOf(key: string): string {
    return `s3://${this.bucket}/${this.prefix}${key}`;
  }

  /** Keys that begin with that. */
  list(begin: string): Promise<readonly string[]> {
    return this.known('list the checkpoints', begin, async () => {
      const keys: string[] = [];
      let from: string | undefined;
      do {
        const page = await this.client.send(new ListObjectsV2Command({ Bucket: this.bucket, Prefix: this.prefix + begin, ContinuationToken: from }));
        for (const { Key = '' } of page.Contents ?? []) keys.push(Key.slice(this.prefix.length));
        from = page.NextContinuationToken;
      } while (from !== undefined);
      return keys;
    });
  }

  /** There is all of the file under the key, or what was there before. The signature of each part covers its bytes. */
  async upload(path: string, key: string): Promise<void> {
    const file = await withStorageErrors('read the checkpoint', path, () => open(path, 'r'));
    try {
      const { size } = await file.stat();
      await this.known('write the checkpoint', key, () => (size <= PART_BYTES ? this.put(file, size, key) : this.putInParts(file, size, key)));
    } finally {
      await file.close();
    }
  }

  download(key: string, path: string): Promise<void> {
    return this.known('read the checkpoint', key, async () => {
      const { Body } = await this.client.send(new GetObjectCommand({ Bucket: this.bucket, Key: this.prefix + key }));
      await withStorageErrors('write the file', path, () => pipeline(Body as Readable, createWriteStream(path, { mode: 0o600 })));
    });
  }

  remove(key: string): Promise<void> {
    return this.known('remove the checkpoint', key, async () => {
      await this.client.send(new DeleteObjectCommand({ Bucket: this.bucket, Key: this.prefix + key }));
    });
  }

  private async put(file: FileHandle, size: number, key: string): Promise<void> {
    await this.client.send(new PutObjectCommand({ Bucket: this.bucket, Key: this.prefix + key, Body: await read(file, 0, size) }));
  }

  private async putInParts(file: FileHandle, size: number, key: string): Promise<void> {
    const target = { Bucket: this.bucket, Key: this.prefix + key };
    const { UploadId } = await this.client.send(new CreateMultipartUploadCommand(target));
    try {
      const bytes = Math.max(PART_BYTES, Math.ceil(size / MOST_PARTS));
      const parts: CompletedPart[] = [];
      for (let offset = 0; offset < size; offset += bytes) {
        const PartNumber = parts.length + 1;
        const { ETag } = await this.client.send(new UploadPartCommand({ ...target, UploadId, PartNumber, Body: await read(file, offset, Math.min(bytes, size - offset)) }));
        parts.push({ ETag, PartNumber });
      }
      await this.client.send(new CompleteMultipartUploadCommand({ ...target, UploadId, MultipartUpload: { Parts: parts } }));
    } catch (error) {
      await this.client.send(new AbortMultipartUploadCommand({ ...target, UploadId })).catch(() => undefined);
      throw error;
    }
  }

  private async known<T>(doing: string, key: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      throw cause instanceof LongtailError ? cause : asLongtailError(doing, this.urlOf(key), cause);
    }
  }
}

async function read(file: FileHandle, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  if (!(await readFully(file, bytes, offset))) throw new LongtailError('The checkpoint has become shorter while it was sent.', { code: 'storage' });
  return bytes;
}

function parseLocation(location: string): { readonly bucket: string; readonly prefix: string; readonly endpoint: string | undefined; readonly region: string | undefined } {
  const usage = (problem: string): LongtailError =>
    new LongtailError(`${problem}: ${location}`, { code: 'usage', where: '--checkpoints', hint: 'It is s3://BUCKET/PREFIX?endpoint=https://HOST&region=REGION; only the bucket must be there.' });
  if (!URL.canParse(location)) throw usage('This is no URL');
  const { host, pathname, searchParams } = new URL(location);
  if (host === '') throw usage('There is no bucket in it');
  const unknown = [...searchParams.keys()].find((name) => name !== 'endpoint' && name !== 'region');
  if (unknown !== undefined) throw usage(`There is no parameter ${unknown}`);
  const endpoint = searchParams.get('endpoint') ?? undefined;
  if (endpoint !== undefined && !/^https?:\/\//.test(endpoint)) throw usage('The endpoint does not begin with http:// or https://');
  const prefix = decodeURIComponent(pathname).replace(/^\/+|\/+$/g, '');
  return { bucket: host, prefix: prefix === '' ? '' : `${prefix}/`, endpoint, region: searchParams.get('region') ?? undefined };
}

function asLongtailError(doing: string, where: string, cause: unknown): LongtailError {
  const { name, message, $metadata } = cause as Error & { readonly $metadata?: { readonly httpStatusCode?: number } };
  const status = $metadata?.httpStatusCode;
  const tell = (problem: string, code: ErrorCode, hint: string): LongtailError => new LongtailError(`Cannot ${doing}: ${problem}.`, { code, where, hint, cause });
  if (name === 'CredentialsProviderError') return tell('there are no keys for it', 'refused', ACCESS);
  if (status === undefined) return tell(`the store does not answer (${(cause as { code?: string }).code ?? message})`, 'unreachable', 'Check that it runs, and the endpoint in --checkpoints.');
  if (status === 401 || status === 403) return tell('the store refuses', 'refused', ACCESS);
  if (status === 404) return tell('it is not there', 'missing-file', 'Check the name of the bucket, and make it if it is not there.');
  if (status === 301) return tell('the bucket is in another region', 'usage', 'Name it: ?region=… in --checkpoints, or AWS_REGION.');
  return tell(`the store answers ${status}, ${name}`, status >= 500 || status === 429 ? 'unreachable' : 'storage', 'It is tried again with the next checkpoint.');
}
