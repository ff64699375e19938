import { LongtailError, type RunEvent } from '@longtail/core';
import type { ServerMessage } from '@longtail/protocol';
import type { Member } from './member.js';
import type { RunStore } from './ports.js';

interface Letter {
  readonly member: Member;
  readonly message: ServerMessage;
}

/** What a run says, to its log and to its members: at once, or in its turn while something is held back. */
export class RunOutbox {
  /** Of the log. */
  lastSeq = 0;
  /** In its order; undefined: nothing is held back. */
  private heldBack: (RunEvent | Letter)[] | undefined;

  /** `failed`: the log cannot be written. */
  constructor(
    private readonly log: RunStore['log'],
    private readonly failed: (error: LongtailError) => void,
  ) {}

  emit(event: RunEvent): void {
    if (this.heldBack === undefined) this.append(event);
    else this.heldBack.push(event);
  }

  send(member: Member, message: ServerMessage): void {
    if (this.heldBack === undefined) member.send(message);
    else this.heldBack.push({ member, message });
  }

  /** What `tell` sends and emits waits, and whatever is sent or emitted after it, until it is released. */
  holdBack(tell: () => void): { readonly events: readonly RunEvent[]; release(): void } {
    const held: (RunEvent | Letter)[] = (this.heldBack = []);
    tell();
    return {
      events: held.filter((one): one is RunEvent => 'event' in one),
      release: () => {
        this.heldBack = undefined;
        for (const one of held) {
          if ('event' in one) this.append(one);
          else one.member.send(one.message);
        }
      },
    };
  }

  private append(event: RunEvent): void {
    try {
      this.lastSeq = this.log.append(event).seq;
    } catch (error) {
      this.failed(LongtailError.from(error, 'storage'));
    }
  }
}
