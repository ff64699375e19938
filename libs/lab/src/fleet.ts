import { createRng, type BenchLink, type BenchNode, type DeviceProfile, type MeasuredPeerLink } from '@longtail/core';
import type { SimulatedWorker, TimedFault } from '@longtail/simulator';
import { drawnRatesOf, gpuNamed, lanNamed, LINK_CLASSES, ratesOf, type LinkRates, type ScenarioFleet, type ScenarioMachine } from '@longtail/spec';
import { presenceOf } from './churn.js';
import { draw } from './draw.js';
import { namedMachines } from './named-machines.js';
import type { Stay } from './trace.js';

/** A machine as everybody sees it: the report, the simulator, the planner. */
interface DrawnMachine {
  readonly bench: BenchNode;
  readonly link: BenchLink;
  /** Undefined: it never comes. */
  readonly worker: SimulatedWorker | undefined;
  readonly device: DeviceProfile;
  /** Each in the order of time. */
  readonly faults: readonly Iterable<TimedFault>[];
  /** It is there from the start. */
  readonly begins: boolean;
}

/** A fleet as a seed drew it. Devices and peers go by the names of nodes. */
export interface DrawnFleet {
  readonly machines: readonly DrawnMachine[];
  readonly peers: readonly MeasuredPeerLink[];
  readonly server: LinkRates;
}

export interface FleetContext {
  readonly seed: number;
  /** Forward and backward, of the scenario's job. */
  readonly flopsPerSample: number;
  readonly untilMs: number;
  stays(path: string): ReadonlyMap<string, readonly Stay[]>;
}

const GIB = 2 ** 30;
/** Of a machine that only its speed is known of. */
const USUAL_MEMORY = 8 * GIB;
const USUAL_WATTS = 100;

/** Each machine draws by its own name: one more of a kind changes nothing for the others. */
export function drawFleet(fleet: ScenarioFleet, context: FleetContext): DrawnFleet {
  const all = namedMachines(fleet.machines);
  const machines = all.map(({ machine, name }) => drawMachine(machine, name, fleet, context));
  const server = fleet.server === undefined ? LINK_CLASSES.datacenter : ratesOf(fleet.server);
  return { machines, peers: peersOf(all, machines, fleet), server };
}

function drawMachine(machine: ScenarioMachine, name: string, fleet: ScenarioFleet, { seed, flopsPerSample, untilMs, stays }: FleetContext): DrawnMachine {
  const rng = createRng(`${seed}/fleet/${name}`);
  const link = linkOf(machine, fleet, rng);
  const gpu = machine.gpu === undefined ? undefined : gpuNamed(machine.gpu);
  const samplesPerSecond = machine.samplesPerSecond ?? (gpu!.fp32Tflops * 1e12 * machine.efficiency) / flopsPerSample;
  const memoryBytes = machine.memory ?? (gpu === undefined ? USUAL_MEMORY : gpu.memoryGib * GIB);
  const presence = presenceOf(machine, { name, rng: rng.fork('churn'), begins: fleet.begins, untilMs, stays });
  const direct = machine.lan !== undefined || machine.region !== undefined;
  return {
    bench: { name, device: machine.gpu ?? `${machine.samplesPerSecond} samples/s`, site: machine.site, watts: machine.watts ?? gpu?.watts ?? USUAL_WATTS, dollars: machine.price ?? gpu?.dollars },
    link,
    device: {
      id: name,
      name,
      flopsPerSecond: samplesPerSecond * flopsPerSample,
      handOverMs: machine.overhead,
      callMs: machine.overhead,
      memoryBytes,
      upBitsPerSecond: link.up,
      downBitsPerSecond: link.down,
      roundTripMs: link.rtt,
    },
    worker:
      presence.joinAtMs === undefined
        ? undefined
        : {
            name,
            samplesPerSecond,
            overheadMs: machine.overhead,
            jitter: machine.jitter,
            memoryBytes,
            joinAtMs: presence.joinAtMs,
            link: {
              upBitsPerSecond: link.up,
              downBitsPerSecond: link.down,
              rttMs: link.rtt,
              lossRate: machine.link.loss,
              slowStart: machine.link.slowStart,
              ...(machine.site !== undefined && { site: machine.site }),
            },
            ...(direct && { peers: 'listens' as const }),
          },
    faults: [presence.faults, slowings(machine, name, untilMs)],
    begins: presence.begins,
  };
}

/** To the server: its own link, and from its region to the server's. */
function linkOf(machine: ScenarioMachine, { matrix }: ScenarioFleet, rng: ReturnType<typeof createRng>): BenchLink {
  const drawnRates = drawnRatesOf(machine.link);
  const [up, down, rtt] = [draw(drawnRates.up, rng.fork('up')), draw(drawnRates.down, rng.fork('down')), draw(drawnRates.rtt, rng.fork('rtt'))];
  if (matrix === undefined || machine.region === undefined) return { up, down, rtt };
  const [from, to] = [matrix.regions.indexOf(machine.region), matrix.regions.indexOf(matrix.server)];
  const rate = matrix.rate ?? [];
  return { up: Math.min(up, rate[from]?.[to] ?? Infinity), down: Math.min(down, rate[to]?.[from] ?? Infinity), rtt: rtt + matrix.rtt[from]![to]! };
}

function* slowings({ throttling }: ScenarioMachine, worker: string, untilMs: number): Iterable<TimedFault> {
  if (throttling === undefined) return;
  const { after, speed, for: coolingMs = untilMs } = throttling;
  for (let atMs = after; atMs < untilMs; atMs += coolingMs + after) yield { kind: 'slow', worker, atMs, forMs: coolingMs, factor: 1 / speed };
}

/** Direct links: within a LAN, and between regions. */
function peersOf(all: readonly { readonly machine: ScenarioMachine; readonly name: string }[], drawn: readonly DrawnMachine[], fleet: ScenarioFleet): readonly MeasuredPeerLink[] {
  const reachable = all.map(({ machine, name }, i) => ({ machine, name, link: drawn[i]!.link })).filter(({ machine: { lan, region } }) => lan !== undefined || region !== undefined);
  return reachable.flatMap((a, i) =>
    reachable.slice(i + 1).flatMap((b): readonly MeasuredPeerLink[] => {
      const between = [a.name, b.name] as const;
      if (a.machine.lan !== undefined && a.machine.lan === b.machine.lan) {
        const { rate, rtt } = lanNamed(fleet.lans, a.machine.lan);
        return [{ between, bitsPerSecond: rate, roundTripMs: rtt, messageMs: rtt / 2 }];
      }
      const { matrix } = fleet;
      if (matrix === undefined || a.machine.region === undefined || b.machine.region === undefined) return [];
      const [from, to] = [matrix.regions.indexOf(a.machine.region), matrix.regions.indexOf(b.machine.region)];
      const most = Math.min(matrix.rate?.[from]?.[to] ?? Infinity, matrix.rate?.[to]?.[from] ?? Infinity);
      const roundTripMs = matrix.rtt[from]![to]!;
      return [{ between, bitsPerSecond: Math.min(most, a.link.up, b.link.up, a.link.down, b.link.down), roundTripMs, messageMs: roundTripMs / 2 }];
    }),
  );
}
