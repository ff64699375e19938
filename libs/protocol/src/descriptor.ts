import protobuf from 'protobufjs';
import { DESCRIPTOR } from './generated/descriptor.js';

/** How messages must be decoded for the generated types to hold. */
export const DECODING_OPTIONS = { longs: Number, enums: String, defaults: true, oneofs: true } as const;

const PACKAGE = 'longtail.v1';

const root = protobuf.Root.fromJSON(DESCRIPTOR as protobuf.INamespace).resolveAll();

export function messageType(name: string): protobuf.Type {
  return root.lookupType(`${PACKAGE}.${name}`);
}

/** A method of protos/control.proto, as gRPC has it: what it decodes is of the right shape, not yet validated. */
export interface ControlMethod {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly request: MessageCodec;
  readonly response: MessageCodec;
}

interface MessageCodec {
  encode(message: object): Buffer;
  decode(bytes: Uint8Array): object;
}

export function controlMethod(name: string): ControlMethod {
  const { requestStream = false, responseStream = false, resolvedRequestType, resolvedResponseType } = root.lookupService(`${PACKAGE}.Control`).methods[name]!;
  return { path: `/${PACKAGE}.Control/${name}`, requestStream, responseStream, request: codecOf(resolvedRequestType!), response: codecOf(resolvedResponseType!) };
}

function codecOf(type: protobuf.Type): MessageCodec {
  return {
    encode: (message) => type.encode(type.fromObject(message)).finish() as Buffer,
    decode: (bytes) => type.toObject(type.decode(bytes), DECODING_OPTIONS),
  };
}
