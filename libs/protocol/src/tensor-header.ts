import { LongtailError, type TensorHeader, type TensorKind } from '@longtail/core';
import type { TensorFrame, TensorFrameKind } from './generated/messages.js';
import { LIMITS } from './limits.js';
import { violation } from './validate.js';

/** CRC-32C (Castagnoli) of bytes, as an unsigned 32-bit number. */
export type Crc32c = (bytes: Uint8Array) => number;

const FRAME_KINDS: Readonly<Record<TensorKind, TensorFrameKind>> = {
  gradient: 'GRADIENT',
  parameters: 'PARAMETERS',
  difference: 'DIFFERENCE',
  fragment: 'FRAGMENT',
  'fragment-difference': 'FRAGMENT_DIFFERENCE',
  state: 'STATE',
  file: 'FILE',
  activation: 'ACTIVATION',
  'activation-gradient': 'ACTIVATION_GRADIENT',
  peer: 'PEER',
  probe: 'PROBE',
};

const KINDS = new Map(Object.entries(FRAME_KINDS).map(([kind, frameKind]) => [frameKind as string, kind as TensorKind]));

export function toTensorFrame(header: TensorHeader): TensorFrame {
  return { step: 0, to: 0, ...header, kind: FRAME_KINDS[header.kind] };
}

/** A frame from an untrusted peer as a header. Throws LongtailError `protocol` naming the field. */
export function toTensorHeader(frame: TensorFrame): TensorHeader {
  const kind = KINDS.get(frame.kind);
  if (kind === undefined) throw violation('tensor.kind', `is ${String(frame.kind)}, not one of ${[...KINDS.keys()].join(', ')}`);
  checkText('run', frame.run);
  checkText('name', frame.name);
  checkRange('chunks', frame.chunks, 1, LIMITS.chunksPerTensor);
  checkRange('chunk', frame.chunk, 0, frame.chunks - 1);
  checkRange('offset', frame.offset, 0, LIMITS.tensorLength);
  checkRange('start', frame.start, 0, LIMITS.tensorLength);
  checkRange('length', frame.length, 0, LIMITS.tensorLength - frame.offset);
  if (kind === 'file' && frame.name.length !== 64) throw violation('tensor.name', 'of a file is its sha256');
  return { ...frame, kind };
}

/** Throws LongtailError `checksum` when the payload is not what its sender coded. */
export function checkPayload(header: TensorHeader, payload: Uint8Array, crc32c: Crc32c): void {
  const actual = crc32c(payload);
  if (actual === header.crc) return;
  throw new LongtailError(
    `the CRC-32C of chunk ${header.chunk} of ${header.kind} is ${hex(actual)}, its header says ${hex(header.crc)}: bytes changed on the way`,
    { code: 'checksum', where: 'tensor.crc' },
  );
}

function checkText(field: 'run' | 'name', text: string): void {
  if (text.length > LIMITS.headerText) throw violation(`tensor.${field}`, `has ${text.length} characters, the limit is ${LIMITS.headerText}`);
}

function checkRange(field: keyof TensorFrame, value: number, least: number, most: number): void {
  if (Number.isSafeInteger(value) && value >= least && value <= most) return;
  throw violation(`tensor.${field}`, `is ${value}, not a whole number in [${least}, ${most}]`);
}

function hex(crc: number): string {
  return crc.toString(16).padStart(8, '0');
}
