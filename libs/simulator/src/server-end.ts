import type { ServerMessage, WorkerMessage } from '@longtail/protocol';
import { Endpoint } from './endpoint.js';

/** To a hello. */
export type Answer = Extract<ServerMessage, { message: 'welcome' | 'refused' }>;

/** The server's end of a link. Its answer to the hello is the transport's to read. */
export class ServerEnd extends Endpoint<ServerMessage, WorkerMessage> {
  private answered: ((answer: Answer) => void) | undefined;

  /** `answered` gets the answer, in the place of the worker. */
  admit(answered: (answer: Answer) => void): void {
    this.answered = answered;
  }

  override send(message: ServerMessage): void {
    if (message.message !== 'welcome' && message.message !== 'refused') return super.send(message);
    this.answered?.(message);
    this.answered = undefined;
  }
}
