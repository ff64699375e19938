import type { OutgoingTensor } from '@longtail/core';
import type { ServerMessage } from '@longtail/protocol';
import type { ServerConnection } from '@longtail/runtime';
import type { VirtualLink } from './virtual-network.js';

/** To a hello. */
export type Answer = Extract<ServerMessage, { message: 'welcome' | 'refused' }>;

/** The server's end of a link, but for its answer to the hello. */
export class Admission implements ServerConnection {
  private answered: ((answer: Answer) => void) | undefined;

  constructor(
    private readonly end: VirtualLink['server'],
    answered: (answer: Answer) => void,
  ) {
    this.answered = answered;
  }

  get peer() {
    return this.end.peer;
  }

  get traffic() {
    return this.end.traffic;
  }

  get sending() {
    return this.end.sending;
  }

  start(handlers: Parameters<ServerConnection['start']>[0]): void {
    this.end.start(handlers);
  }

  send(message: ServerMessage): void {
    if (message.message !== 'welcome' && message.message !== 'refused') return this.end.send(message);
    this.answered?.(message);
    this.answered = undefined;
  }

  sendTensor(tensor: OutgoingTensor, signal: AbortSignal): Promise<void> {
    return this.end.sendTensor(tensor, signal);
  }

  close(reason: string): void {
    this.end.close(reason);
  }
}
