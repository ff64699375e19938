import type { Task } from '@longtail/protocol';

/** A task that a worker was given. */
export class Work {
  private stopping: AbortController | undefined;
  isDropped = false;

  /** `abort`: of what is done for it. */
  constructor(
    readonly task: Task,
    readonly abort: AbortController,
  ) {}

  drop(reason: Error): void {
    this.isDropped = true;
    this.abort.abort(reason);
  }

  /** Local steps: end after the step under way. */
  get stop(): AbortController {
    return (this.stopping ??= new AbortController());
  }
}
