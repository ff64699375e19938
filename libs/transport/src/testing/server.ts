import type { Connection, TensorChunk } from '@longtail/core';
import type { Hello, ServerMessage, WorkerMessage } from '@longtail/protocol';
import { listen, type Listener, type ListenOptions } from '../index.js';
import { crc32c, idleControl, welcomeMessage } from './fixtures.js';

/** A session as the server saw it. */
export interface SeenSession {
  readonly hello: Hello;
  readonly connection: Connection<ServerMessage, WorkerMessage>;
  readonly messages: WorkerMessage[];
  readonly chunks: TensorChunk[];
  readonly closed: Promise<string>;
  /** Resolves when the condition holds; looks after each message and chunk. */
  when(condition: () => boolean): Promise<void>;
}

export interface TestServer {
  readonly listener: Listener;
  readonly dropped: string[];
  readonly sessions: SeenSession[];
  /** The session of the number, when it has come. */
  session(number: number): Promise<SeenSession>;
  /** The first reason that matches, when something was dropped for it. */
  drop(reason: RegExp): Promise<string>;
  stop(): Promise<void>;
}

/** A server in this process that welcomes everybody and remembers what it was sent; `borrows`: where it lies. */
export async function startServer(options: Partial<ListenOptions> = {}, borrows = false): Promise<TestServer> {
  const sessions: SeenSession[] = [];
  const dropped: string[] = [];
  const changes = new Changes();
  const listener = await listen({
    port: 0,
    crc32c,
    control: idleControl(),
    signal: new AbortController().signal,
    onDropped: (reason) => {
      dropped.push(reason);
      changes.happened();
    },
    onSession: (connection, hello) => {
      sessions.push(watch(connection, hello, borrows));
      connection.send(welcomeMessage(`n${sessions.length}`));
      changes.happened();
    },
    ...options,
  });
  return {
    listener,
    dropped,
    sessions,
    session: async (number) => {
      await changes.until(() => sessions.length > number);
      return sessions[number]!;
    },
    drop: async (reason) => {
      await changes.until(() => dropped.some((text) => reason.test(text)));
      return dropped.find((text) => reason.test(text))!;
    },
    stop: () => listener.close('the test is over'),
  };
}

/** Lets tests wait for conditions on what callbacks write. */
class Changes {
  private waiting: (() => void)[] = [];

  happened(): void {
    for (const look of this.waiting.splice(0)) look();
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.waiting.push(resolve));
  }
}

function watch(connection: Connection<ServerMessage, WorkerMessage>, hello: Hello, borrows: boolean): SeenSession {
  let close!: (reason: string) => void;
  const changes = new Changes();
  const session: SeenSession = {
    hello,
    connection,
    messages: [],
    chunks: [],
    closed: new Promise((resolve) => (close = resolve)),
    when: (condition) => changes.until(condition),
  };
  connection.start({
    message: (message) => {
      session.messages.push(message);
      changes.happened();
    },
    place: () => (borrows ? 'borrow' : undefined),
    tensor: (chunk) => {
      session.chunks.push(chunk);
      changes.happened();
    },
    closed: close,
  });
  return session;
}
