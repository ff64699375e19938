import { execFile, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const DEBIAN = '/usr/lib/postgresql';
const USER = 'postgres';
const PASSWORD = 'of-the-tests';
/** Nobody waits for the disk of a database that is thrown away. */
const SETTINGS = ['listen_addresses=127.0.0.1', 'fsync=off', 'shared_buffers=16MB', 'max_connections=20', 'unix_socket_directories='];

const execute = promisify(execFile);

/** Where it is there, as on Debian: what it runs ends at once with whoever started it, though that is killed. */
const SETPRIV = ['setpriv', '--pdeathsig=QUIT'];
const ENDING_WITH_THIS_PROCESS = spawnSync(SETPRIV[0]!, ['--version']).status === 0 ? SETPRIV : [];

/** A PostgreSQL server of this process's own, on loopback. */
export interface PostgresServer {
  /** Of a database that is empty; each call makes another one. */
  database(): Promise<string>;
  /** Ends it at once, as a power cut does; resolves when it is gone. */
  kill(): Promise<void>;
  /** Starts it again on the same port with the same data. */
  start(): Promise<void>;
  /** Ends it and removes its data. */
  dispose(): Promise<void>;
}

/** Makes a cluster in a temporary folder and starts it. Installs PostgreSQL from Debian's packages where it is missing and this is root. */
export async function startPostgres(): Promise<PostgresServer> {
  const bin = binaries() ?? (await install());
  const identity = process.getuid?.() === 0 ? await unprivileged() : undefined;
  const folder = mkdtempSync(join(tmpdir(), 'longtail-postgres-'));
  const [data, password] = [join(folder, 'data'), join(folder, 'password')];
  writeFileSync(password, PASSWORD);
  mkdirSync(data);
  if (identity !== undefined) for (const path of [folder, data, password]) chownSync(path, identity.uid, identity.gid);
  await execute(join(bin, 'initdb'), ['-D', data, '-U', USER, '-A', 'scram-sha-256', '--pwfile', password, '--no-sync', '--encoding=UTF8', '--no-locale'], { ...identity, cwd: folder });
  const port = await freePort();
  const url = (name: string): string => `postgres://${USER}:${PASSWORD}@127.0.0.1:${port}/${name}`;

  let server: ChildProcess | undefined;
  let databases = 0;
  const start = async (): Promise<void> => {
    const args = ['-D', data, '-p', String(port), ...SETTINGS.flatMap((setting) => ['-c', setting])];
    const [file, ...rest] = [...ENDING_WITH_THIS_PROCESS, join(bin, 'postgres'), ...args];
    server = spawn(file!, rest, { ...identity, cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
    await ready(server);
  };
  const kill = async (): Promise<void> => {
    if (server === undefined || server.exitCode !== null) return;
    const gone = new Promise((resolve) => server!.once('exit', resolve));
    server.kill('SIGQUIT'); // immediate: no farewell, and recovery at the next start
    await gone;
  };
  await start();
  return {
    async database() {
      const name = `test${++databases}`;
      await execute(join(bin, 'psql'), ['-q', '-c', `create database ${name}`, url(USER)]);
      return url(name);
    },
    kill,
    start,
    async dispose() {
      await kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Debian keeps them out of the PATH, a folder for each version. */
function binaries(): string | undefined {
  const versions = existsSync(DEBIAN) ? readdirSync(DEBIAN).sort((a, b) => Number(b) - Number(a)) : [];
  const folders = [...versions.map((version) => join(DEBIAN, version, 'bin')), ...(process.env.PATH ?? '').split(':')];
  return folders.find((folder) => existsSync(join(folder, 'initdb')) && existsSync(join(folder, 'postgres')));
}

async function install(): Promise<string> {
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) {
    throw new Error('The tests need PostgreSQL: install it (Debian: apt-get install postgresql), or run them as root on Debian.');
  }
  // Or its packages would make a cluster of the system's own, and start it.
  mkdirSync('/etc/postgresql-common', { recursive: true });
  writeFileSync('/etc/postgresql-common/createcluster.conf', 'create_main_cluster = false\n', { flag: 'a' });
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  await execute('apt-get', ['update', '-qq'], { env });
  await execute('apt-get', ['install', '-y', '-qq', '--no-install-recommends', '-o', 'Dpkg::Options::=--force-confold', 'postgresql'], { env });
  return binaries()!;
}

/** PostgreSQL refuses to run as root. */
async function unprivileged(): Promise<{ readonly uid: number; readonly gid: number }> {
  const id = async (flag: string): Promise<number> => Number((await execute('id', [flag, USER]).catch(() => execute('id', [flag, 'nobody']))).stdout);
  return { uid: await id('-u'), gid: await id('-g') };
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as { readonly port: number };
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

function ready(server: ChildProcess): Promise<void> {
  const said: string[] = [];
  return new Promise((resolve, reject) => {
    createInterface({ input: server.stderr! }).on('line', (line) => {
      said.push(line);
      if (line.includes('ready to accept connections')) resolve();
    });
    server.once('exit', (code) => reject(new Error(`PostgreSQL ended with ${code}:\n${said.join('\n')}`)));
  });
}
