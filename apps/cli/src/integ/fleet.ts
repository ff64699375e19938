import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CliProcess, runCli } from './cli-process.js';
import { jobFolder } from './jobs.js';

/** A server and workers `worker-1`, `worker-2`, … that stay for one job after the other. */
export class Fleet {
  private constructor(
    readonly folder: string,
    readonly address: string,
    private readonly server: CliProcess,
    readonly workers: ReadonlyMap<string, CliProcess>,
  ) {}

  static async stand(paces: readonly number[]): Promise<Fleet> {
    const folder = await jobFolder('');
    const server = new CliProcess(['up', '--port', '0', '--json'], { cwd: folder });
    const address = await server.listening();
    const workers = paces.map((pace, i) => {
      const name = `worker-${i + 1}`;
      const args = ['join', address, '--name', name, '--throttle', `${pace}`, '--engine', 'wasm', '--threads', '1', '--json'];
      return [name, new CliProcess(args, { cwd: folder })] as const;
    });
    const fleet = new Fleet(folder, address, server, new Map(workers));
    // With its link probed: the probes would be in the traffic of the first job.
    await Promise.all(workers.map(([, worker]) => worker.line('"link"')));
    return fleet;
  }

  /** Runs a job file to its end. */
  async launch(job: string): Promise<CliProcess> {
    await writeFile(join(this.folder, 'job.yaml'), job);
    const { exitCode, process } = await runCli(['launch', 'job.yaml', '--server', this.address, '--json'], { cwd: this.folder });
    if (exitCode !== 0) throw new Error(`launch ended with ${exitCode}: ${process.stderr}`);
    return process;
  }

  async down(): Promise<void> {
    [this.server, ...this.workers.values()].forEach((process) => process.killAll());
    await rm(this.folder, { recursive: true });
  }
}
