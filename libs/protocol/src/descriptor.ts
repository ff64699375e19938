import protobuf from 'protobufjs';
import { DESCRIPTOR } from './generated/descriptor.js';

export { DESCRIPTOR };

/** How proto-loader must decode for the generated types to hold. */
export const DECODING_OPTIONS = { keepCase: false, longs: Number, enums: String, defaults: true, oneofs: true } as const;

export const PACKAGE = 'longtail.v1';

const root = protobuf.Root.fromJSON(DESCRIPTOR as protobuf.INamespace).resolveAll();

export function messageType(name: string): protobuf.Type {
  return root.lookupType(`${PACKAGE}.${name}`);
}
