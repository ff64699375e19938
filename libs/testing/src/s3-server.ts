import { createHash, createHmac, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';

const BUCKET = 'models';
const PREFIX = 'some/where';
const KEYS = { AWS_ACCESS_KEY_ID: 'of-the-tests', AWS_SECRET_ACCESS_KEY: 'secret-of-the-tests' };
/** Of a page of a list. */
const PAGE = 5;

/** True when it has answered a request in the store's place, or has broken the connection. */
export type S3Fault = (request: IncomingMessage, response: ServerResponse) => boolean;

/** An S3-compatible store over HTTP, in memory. It checks signatures (version 4) and that bodies are what was signed. */
export interface S3Server {
  /** As `--checkpoints` takes it. */
  readonly location: string;
  /** Environment of whoever may use it. */
  readonly keys: Readonly<Record<string, string>>;
  /** Asked before each request; undefined: nothing goes wrong. */
  fault: S3Fault | undefined;
  /** Method and path of each request, as it came. */
  readonly requests: string[];
  /** By key, below the location's prefix. */
  readonly objects: Map<string, Buffer>;
  close(): Promise<void>;
}

export async function startS3Server(): Promise<S3Server> {
  const http = createServer((request, response) => {
    server.requests.push(`${request.method} ${request.url}`);
    if (server.fault?.(request, response) === true) return;
    // A client may break off in mid-body.
    bodyOf(request).then(
      (body) => answer(store, request, body, response),
      () => response.destroy(),
    );
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const { port } = http.address() as { readonly port: number };
  const store: Store = { objects: new Map(), uploads: new Map() };
  const server: S3Server = {
    location: `s3://${BUCKET}/${PREFIX}?endpoint=http://127.0.0.1:${port}`,
    keys: KEYS,
    fault: undefined,
    requests: [],
    objects: store.objects,
    async close() {
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
  return server;
}

interface Store {
  readonly objects: Map<string, Buffer>;
  /** Parts by number. */
  readonly uploads: Map<string, Map<number, Buffer>>;
}

function answer(store: Store, request: IncomingMessage, body: Buffer, response: ServerResponse): void {
  const { pathname, searchParams } = new URL(request.url!, 'http://store');
  const [, bucket, ...rest] = decodeURIComponent(pathname).split('/');
  const key = rest.join('/').replace(`${PREFIX}/`, '');
  const say = (status: number, text: string | Buffer = '', headers: Record<string, string> = {}): void =>
    void response.writeHead(status, { 'content-length': Buffer.byteLength(text), ...headers }).end(request.method === 'HEAD' ? undefined : text);
  const refuse = (status: number, code: string): void => say(status, `<Error><Code>${code}</Code><Message>${code}</Message></Error>`);
  if (!isSigned(request, pathname, searchParams, body)) return refuse(403, 'SignatureDoesNotMatch');
  if (bucket !== BUCKET) return refuse(404, 'NoSuchBucket');
  const object = store.objects.get(key);
  const upload = searchParams.get('uploadId');
  switch (request.method) {
    case 'HEAD':
      return say(200);
    case 'GET':
      if (key === '') return say(200, listOf(store, searchParams));
      return object === undefined ? refuse(404, 'NoSuchKey') : say(200, object);
    case 'PUT':
      if (upload === null) store.objects.set(key, body);
      else store.uploads.get(upload)!.set(Number(searchParams.get('partNumber')), body);
      return say(200, '', { etag: `"${sha256(body)}"` });
    case 'POST': {
      if (upload === null) {
        const id = randomUUID();
        store.uploads.set(id, new Map());
        return say(200, `<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`);
      }
      const parts = store.uploads.get(upload)!;
      const named = [...body.toString().matchAll(/<PartNumber>(\d+)<\/PartNumber>/g)].map(([, number]) => Number(number));
      store.objects.set(key, Buffer.concat(named.map((number) => parts.get(number)!)));
      store.uploads.delete(upload);
      return say(200, '<CompleteMultipartUploadResult></CompleteMultipartUploadResult>');
    }
    default:
      if (upload === null) store.objects.delete(key);
      else store.uploads.delete(upload);
      return say(204);
  }
}

/** A page of the keys that begin with `prefix`, in order. */
function listOf({ objects }: Store, query: URLSearchParams): string {
  const from = query.get('continuation-token') ?? '';
  const keys = [...objects.keys()].map((key) => `${PREFIX}/${key}`).sort();
  const found = keys.filter((key) => key.startsWith(query.get('prefix') ?? '') && key > from);
  const page = found.slice(0, PAGE);
  const more = found.length > PAGE ? `<NextContinuationToken>${page.at(-1)}</NextContinuationToken>` : '';
  return `<ListBucketResult><IsTruncated>${found.length > PAGE}</IsTruncated>${more}${page.map((key) => `<Contents><Key>${key}</Key></Contents>`).join('')}</ListBucketResult>`;
}

/** https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html */
function isSigned({ headers, method }: IncomingMessage, pathname: string, query: URLSearchParams, body: Buffer): boolean {
  const [, key, scope, names, signature] = /^AWS4-HMAC-SHA256 Credential=([^/]+)\/([^,]+), SignedHeaders=([^,]+), Signature=([0-9a-f]+)$/.exec(headers.authorization ?? '') ?? [];
  if (key !== KEYS.AWS_ACCESS_KEY_ID || headers['x-amz-content-sha256'] !== sha256(body)) return false;
  const parameters = [...query].map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`).sort();
  const signed = names!.split(';').map((name) => `${name}:${String(headers[name]).trim()}\n`);
  const canonical = [method, pathname, parameters.join('&'), signed.join(''), names, sha256(body)].join('\n');
  const hmac = (secret: string | Buffer, text: string): Buffer => createHmac('sha256', secret).update(text).digest();
  const secret = scope!.split('/').reduce<string | Buffer>(hmac, `AWS4${KEYS.AWS_SECRET_ACCESS_KEY}`);
  return hmac(secret, ['AWS4-HMAC-SHA256', headers['x-amz-date'], scope, sha256(canonical)].join('\n')).toString('hex') === signature;
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

function sha256(bytes: Buffer | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}
