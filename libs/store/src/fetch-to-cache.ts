import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { formatBytes, LongtailError, type LocalFile } from '@longtail/core';
import { writeFileAtomic } from './atomic.js';
import { fileCache } from './cache.js';
import { ensureDiskSpace } from './storage-error.js';

export interface FetchOptions {
  /** Root of the cache. */
  readonly cache: string;
  readonly signal: AbortSignal;
  /** @default 8 GiB */
  readonly maxBytes?: number;
  /** `totalBytes` is undefined when the server does not say. */
  readonly onProgress?: (progress: { readonly bytes: number; readonly totalBytes: number | undefined }) => void;
}

/** What is known of a URL fetched before. */
interface KnownUrl {
  readonly url: string;
  readonly file: Omit<LocalFile, 'path'>;
  readonly etag: string | undefined;
  readonly lastModified: string | undefined;
}

const DEFAULT_MAX_BYTES = 8 * 2 ** 30;

/**
 * Fetches an http(s) URL into the cache. One fetched before is asked for only if it changed, and taken from the cache
 * when the server cannot be reached. LongtailError `unreachable`, `missing-file` (404, 410), `invalid-data` (too large),
 * `storage`; the signal's reason when aborted.
 */
export async function fetchToCache(url: string, options: FetchOptions): Promise<LocalFile> {
  const known = await readKnown(url, options.cache);
  const cached = known && (await fileCache(options.cache).find(known.file.sha256));
  const response = await request(url, cached === undefined ? undefined : known, options.signal).catch((error: unknown) => {
    if (cached === undefined || options.signal.aborted) throw error;
    return undefined;
  });
  if (known && cached !== undefined && (response === undefined || response.status === 304)) return { ...known.file, path: cached };
  if (!response?.ok) throw refusal(url, response?.status ?? 0);
  const { path, ...file } = await download(url, response, options);
  const entry: KnownUrl = {
    url,
    file,
    etag: response.headers.get('etag') ?? undefined,
    lastModified: response.headers.get('last-modified') ?? undefined,
  };
  await writeFileAtomic(knownPath(url, options.cache), JSON.stringify(entry));
  return { ...file, path };
}

async function request(url: string, known: KnownUrl | undefined, signal: AbortSignal): Promise<Response> {
  const headers: Record<string, string> = {};
  if (known?.etag) headers['if-none-match'] = known.etag;
  else if (known?.lastModified) headers['if-modified-since'] = known.lastModified;
  try {
    return await fetch(url, { headers, signal });
  } catch (cause) {
    throw signal.aborted ? signal.reason : unreachable(url, cause);
  }
}

async function download(
  url: string,
  response: Response,
  { cache, signal, maxBytes = DEFAULT_MAX_BYTES, onProgress }: FetchOptions,
): Promise<LocalFile> {
  const length = Number(response.headers.get('content-length') ?? NaN);
  // The length of a coded body is not that of the file.
  const totalBytes = Number.isSafeInteger(length) && !response.headers.has('content-encoding') ? length : undefined;
  if (totalBytes !== undefined) {
    if (totalBytes > maxBytes) throw tooLarge(url, maxBytes);
    await ensureDiskSpace(cache, totalBytes);
  }
  const incoming = await fileCache(cache).receive(url);
  try {
    let bytes = 0;
    for await (const chunk of bodyOf(response, url, signal)) {
      bytes += chunk.length;
      if (bytes > maxBytes) throw tooLarge(url, maxBytes);
      await incoming.write(chunk);
      onProgress?.({ bytes, totalBytes });
    }
    return await incoming.commit();
  } catch (error) {
    await incoming.abort();
    throw error;
  }
}

async function* bodyOf(response: Response, url: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  if (!response.body) return;
  const reader = response.body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader
        .read()
        .catch((cause: unknown) => Promise.reject(signal.aborted ? signal.reason : unreachable(url, cause)));
      if (done) return;
      yield value as Uint8Array;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

async function readKnown(url: string, cache: string): Promise<KnownUrl | undefined> {
  try {
    return JSON.parse(await readFile(knownPath(url, cache), 'utf8')) as KnownUrl;
  } catch {
    return undefined; // never fetched, or unreadable: both mean fetching it
  }
}

function knownPath(url: string, cache: string): string {
  return join(cache, 'urls', `${createHash('sha256').update(url).digest('hex')}.json`);
}

function unreachable(url: string, cause: unknown): LongtailError {
  const detail = cause instanceof Error ? (cause.cause instanceof Error ? cause.cause.message : cause.message) : String(cause);
  return new LongtailError(`Cannot fetch the file: ${detail}.`, {
    code: 'unreachable',
    where: url,
    hint: 'Check the address and the network, or fetch the file yourself and give its path.',
    cause,
  });
}

function refusal(url: string, status: number): LongtailError {
  const missing = status === 404 || status === 410;
  return new LongtailError(missing ? 'There is no such file on the server.' : `The server answered with status ${status}.`, {
    code: missing ? 'missing-file' : 'unreachable',
    where: url,
    hint: 'Check the address, or fetch the file yourself and give its path.',
  });
}

function tooLarge(url: string, maxBytes: number): LongtailError {
  return new LongtailError(`The file is larger than the limit of ${formatBytes(maxBytes)}.`, {
    code: 'invalid-data',
    where: url,
    hint: 'Fetch it yourself and give its path.',
  });
}
