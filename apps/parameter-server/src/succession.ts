import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LongtailError } from '@longtail/core';
import type { GetServerReply } from '@longtail/protocol';
import { withStorageErrors, writeFileAtomic } from '@longtail/store';
import { connectClient, type ControlClient } from '@longtail/transport';
import type { Logger } from 'pino';
import { z } from 'zod';
import type { Access } from './open-access.js';
import { READY } from './standby-port.js';

const FILE = 'succession.json';
const ASK_MS = 5000;
/** How often a standby that is gone is looked for. */
const LOOK_MS = 3000;

const STATE = z.object({
  /** How often servers took over from one another until this one. */
  epoch: z.number().int().min(1),
  /** Where its standby listens, or did when it was last there; empty: it has none. */
  standby: z.string(),
});

/** Where a server stands among those that take over from each other; kept with its runs. */
export class Succession {
  /** Resolves when the standby has taken over: whatever this server does counts for nothing. */
  readonly over: Promise<LongtailError>;
  private resolveOver!: (reason: LongtailError) => void;
  private written: Promise<void> = Promise.resolve();
  private looking: NodeJS.Timeout | undefined;

  private constructor(
    private readonly runsFolder: string,
    private state: Readonly<z.infer<typeof STATE>>,
    private readonly log: Logger,
    private readonly access: Pick<Access, 'asStandby'> | undefined,
  ) {
    this.over = new Promise((resolve) => (this.resolveOver = resolve));
  }

  /** LongtailError `storage` where what is kept cannot be read, or is damaged. */
  static async open(runsFolder: string, log: Logger, access?: Pick<Access, 'asStandby'>): Promise<Succession> {
    const path = join(runsFolder, FILE);
    const text = await withStorageErrors('read the file', path, () =>
      readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => (error.code === 'ENOENT' ? undefined : Promise.reject(error))),
    );
    if (text === undefined) return new Succession(runsFolder, { epoch: 1, standby: '' }, log, access);
    try {
      return new Succession(runsFolder, STATE.parse(JSON.parse(text)), log, access);
    } catch (cause) {
      throw new LongtailError('the file is damaged', { code: 'storage', where: path, hint: 'Delete it, where no other server has taken over.', cause });
    }
  }

  get epoch(): number {
    return this.state.epoch;
  }

  /** Where its standby listens, or did when it was last there; empty: it has none. */
  get standbyAddress(): string {
    return this.state.standby;
  }

  /** It has taken over, which is kept when this resolves. LongtailError `storage`. */
  begin(epoch: number): Promise<void> {
    return this.keep({ epoch, standby: '' });
  }

  /** A standby has come; empty: the server ends in order, and nobody is to take over. */
  standby(address: string): void {
    clearInterval(this.looking);
    if (address === this.state.standby) return;
    this.keep({ ...this.state, standby: address }).catch((error: unknown) => this.log.error(LongtailError.from(error).message));
  }

  /** It may have taken over. Resolves once nobody answers where it was: while it does, it has taken over, or comes back. */
  standbyGone(): Promise<void> {
    clearInterval(this.looking);
    return new Promise((resolve) => {
      const look = async (): Promise<void> => {
        if (!(await this.suspect())) resolve();
      };
      this.looking = setInterval(() => void look(), LOOK_MS).unref();
      void look();
    });
  }

  /**
   * A standby that is there holds more than this server's checkpoints: it is to go on, not this one. Throws LongtailError `refused` then.
   */
  async refuseIfSucceeded(): Promise<void> {
    const { standby, epoch } = this.state;
    if (standby === '') return;
    const answer = await this.ask(async (client, signal) => {
      // Else it had not followed for long enough, or something else listens there by now.
      if (client.server.epoch === 0 && client.server.standbyState === READY) await client.takeOver({ ordered: false, force: false }, signal);
      return client.server;
    });
    if (answer === undefined) return this.log.warn({ standby }, 'its standby does not answer: runs go on from their checkpoints');
    if (answer.epoch > epoch || (answer.epoch === 0 && answer.standbyState === READY)) throw this.succeeded(answer.epoch > epoch);
  }

  /** A node was told of a higher epoch, or the standby is gone: it knows. Whether it answers. */
  async suspect(): Promise<boolean> {
    const answer = await this.ask(async ({ server }) => server).catch(() => undefined);
    if (answer !== undefined && answer.epoch > this.state.epoch) this.resolveOver(this.succeeded(true));
    return answer !== undefined;
  }

  private succeeded(already: boolean): LongtailError {
    const { standby } = this.state;
    const what = already ? `${standby} has taken over from this server` : `${standby}, its standby, holds what was committed, and takes over from this server`;
    return new LongtailError(what, {
      code: 'refused',
      where: standby,
      hint: `Start this one as its standby: longtail up --standby-of ${standby}${this.access === undefined ? '' : ' --token -, with one of that role from there'}. To do without that one, end it first.`,
    });
  }

  /** Undefined: it does not answer. */
  private async ask(question: (client: ControlClient, signal: AbortSignal) => Promise<GetServerReply>): Promise<GetServerReply | undefined> {
    if (this.state.standby === '') return undefined;
    const signal = AbortSignal.timeout(ASK_MS);
    const client = await connectClient(this.state.standby, signal, await this.access?.asStandby()).catch(() => undefined);
    try {
      return client && (await question(client, signal));
    } finally {
      client?.close();
    }
  }

  private keep(state: Succession['state']): Promise<void> {
    this.state = state;
    const written = this.written.then(() => writeFileAtomic(join(this.runsFolder, FILE), `${JSON.stringify(state)}\n`));
    this.written = written.catch(() => undefined);
    return written;
  }
}
