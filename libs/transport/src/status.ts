import { Metadata, status, type ServiceError, type StatusObject } from '@grpc/grpc-js';
import { LongtailError, type ErrorCode, type WireError } from '@longtail/core';

/** Carries the whole error; the status beside it is for other gRPC clients. */
const ERROR_KEY = 'longtail-error-bin';

const STATUS: Partial<Record<ErrorCode, status>> = {
  usage: status.INVALID_ARGUMENT,
  'invalid-file': status.INVALID_ARGUMENT,
  'invalid-data': status.INVALID_ARGUMENT,
  protocol: status.INVALID_ARGUMENT,
  'missing-file': status.NOT_FOUND,
  refused: status.FAILED_PRECONDITION,
  unreachable: status.UNAVAILABLE,
  storage: status.RESOURCE_EXHAUSTED,
  timeout: status.DEADLINE_EXCEEDED,
  cancelled: status.CANCELLED,
};

export function toStatus(thrown: unknown): StatusObject {
  const error = LongtailError.from(thrown);
  const metadata = new Metadata();
  metadata.set(ERROR_KEY, Buffer.from(JSON.stringify(error.toWire())));
  return { code: STATUS[error.code] ?? status.INTERNAL, details: error.message, metadata };
}

/** The server's own error where it sent one, else what the connection's failure means for the user. */
export function fromStatus(error: ServiceError, address: string): LongtailError {
  const carried = carriedBy(error);
  if (carried !== undefined) return LongtailError.fromWire(carried);
  if (error.code === status.UNAVAILABLE) return unreachable(address, error);
  if (error.code === status.DEADLINE_EXCEEDED) {
    return new LongtailError(`the server at ${address} did not answer in time`, { code: 'timeout', where: address, cause: error });
  }
  if (error.code === status.CANCELLED) return new LongtailError('the call was cancelled', { code: 'cancelled', where: address, cause: error });
  return new LongtailError(`the server at ${address} failed: ${error.details}`, { code: 'protocol', where: address, cause: error });
}

/** Undefined where there is none, or what there is can be none of ours. */
function carriedBy(error: ServiceError): WireError | undefined {
  const [bytes] = error.metadata?.get(ERROR_KEY) ?? [];
  if (!Buffer.isBuffer(bytes)) return undefined;
  try {
    const wire = JSON.parse(bytes.toString()) as Partial<WireError> | null;
    return typeof wire?.message === 'string' ? { code: 'internal', hint: '', where: '', ...wire, message: wire.message } : undefined;
  } catch {
    return undefined;
  }
}

export function unreachable(address: string, cause: unknown): LongtailError {
  return new LongtailError(`no Longtail server answers at ${address}`, {
    code: 'unreachable',
    where: address,
    hint: 'Check the address, that `longtail up` runs there, and that no firewall is between.',
    cause,
  });
}

export function versionMismatch(peer: string, theirs: number, ours: number): LongtailError {
  const older = theirs < ours ? peer : 'this side';
  return new LongtailError(`${peer} speaks protocol ${theirs}, this side speaks ${ours}`, {
    code: 'protocol',
    hint: `Update ${older}: server, workers and clients must run the same release of Longtail.`,
  });
}
