import type { Clock } from '@longtail/core';

/** Questions to nodes that wait for their answers: each gets one, or none in time. */
export class Answers<Answer> {
  private readonly waiting = new Map<string, { heardMs: number; resolve(answer: Answer | undefined): void }>();

  constructor(private readonly clock: Clock) {}

  /** Undefined when nothing is heard of the question for `patienceMs`, or it is given up. One question a key at a time. */
  async to(key: string, patienceMs: number): Promise<Answer | undefined> {
    const answered = new AbortController();
    try {
      return await new Promise((resolve) => {
        const question = { heardMs: this.clock.nowMs(), resolve };
        this.waiting.set(key, question);
        void this.runOut(question, patienceMs, answered.signal);
      });
    } finally {
      this.waiting.delete(key);
      answered.abort(ANSWERED);
    }
  }

  give(key: string, answer: Answer): void {
    this.waiting.get(key)?.resolve(answer);
  }

  /** It is worked on. False: nobody asked. */
  heard(key: string): boolean {
    const question = this.waiting.get(key);
    if (question !== undefined) question.heardMs = this.clock.nowMs();
    return question !== undefined;
  }

  giveUp(key: string): void {
    this.waiting.get(key)?.resolve(undefined);
  }

  giveUpWhere(concerned: (key: string) => boolean): void {
    for (const [key, { resolve }] of this.waiting) if (concerned(key)) resolve(undefined);
  }

  private async runOut(question: { heardMs: number; resolve(answer: undefined): void }, patienceMs: number, signal: AbortSignal): Promise<void> {
    try {
      for (let leftMs = patienceMs; leftMs > 0; leftMs = question.heardMs + patienceMs - this.clock.nowMs()) await this.clock.sleep(leftMs, signal);
      question.resolve(undefined);
    } catch {
      // It was answered.
    }
  }
}

/** Given so that no DOMException with a stack is made for every question. */
const ANSWERED = new Error('answered');
