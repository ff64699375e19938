import type { Client, MethodDefinition } from '@grpc/grpc-js';
import { validateMessage, type MessageTypes } from '@longtail/protocol';
import { fromStatus } from './status.js';

const CALL_MS = 30_000;

/** One question to a server, and its answer. Throws the server's LongtailError, `unreachable`, `timeout`, or the signal's reason. */
export function call<Request, Name extends keyof MessageTypes>(
  client: Client,
  where: string,
  method: MethodDefinition<Request, MessageTypes[Name]>,
  replyName: Name,
  request: Request,
  signal: AbortSignal,
): Promise<MessageTypes[Name]> {
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const { path, requestSerialize, responseDeserialize } = method;
    const unary = client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, { deadline: Date.now() + CALL_MS }, (error, reply) => {
      signal.removeEventListener('abort', aborted);
      if (error !== null) {
        reject(signal.aborted ? (signal.reason as Error) : fromStatus(error, where));
        return;
      }
      try {
        resolve(validateMessage(replyName, reply));
      } catch (invalid) {
        reject(invalid as Error);
      }
    });
    const aborted = (): void => unary.cancel();
    signal.addEventListener('abort', aborted, { once: true });
  });
}
