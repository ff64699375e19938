import { addTimes, standingEvents, timeParts, type ExchangeTimes, type Job, type RunEvent, type StoredEvent, type Verdict } from '@longtail/core';

/** A point of a curve; times in seconds from the start of the run. */
export interface CurvePoint {
  readonly seconds: number;
  readonly samples: number;
  readonly value: number;
}

/** A contribution on the time axis, milliseconds from the start of the run. */
export interface WorkSpan {
  readonly round: number;
  /** Task sent; the worker receives parameters until it computes. */
  readonly sent: number;
  readonly computeFrom: number;
  readonly computeTo: number;
  /** Delivered; the worker waits for the round to end. */
  readonly done: number;
  readonly roundEnd: number;
  readonly samples: number;
  /** What it counts for where samples are added up: the stages of a pipeline share those of their group. */
  readonly part: number;
  readonly accepted: boolean;
  readonly reason: string;
}

export interface WorkerData {
  readonly name: string;
  readonly engine: string;
  readonly device: string;
  readonly throttle: number | undefined;
  readonly spans: readonly WorkSpan[];
  readonly samples: number;
  /** What they count for where those of all workers are added up. */
  readonly part: number;
  readonly rejected: number;
  readonly computeMs: number;
  readonly transferMs: number;
  readonly waitMs: number;
  readonly bytesUp: number;
  readonly bytesDown: number;
  /** What float32 would have taken more, up. */
  readonly bytesSaved: number;
  /** Sums over its contributions; undefined where none says. */
  readonly exchange: ExchangeTimes | undefined;
  /** The part of its time that it sends and does not compute, contribution by contribution. */
  readonly sends: readonly CurvePoint[];
}

/** The local steps that a group takes between two exchanges, as they adapt. */
interface LocalStepsData {
  readonly name: string;
  readonly points: readonly CurvePoint[];
}

/** Something a reader should know of. */
export interface Incident {
  readonly seconds: number;
  readonly kind: 'warning' | 'error' | 'left' | 'rejected' | 'joined' | 'paused' | 'resumed';
  readonly text: string;
  readonly hint: string;
}

/** What a report shows, drawn from the events alone. */
export interface RunData {
  readonly run: string;
  readonly job: Job | undefined;
  /** What `sync: auto` chose last, and why. */
  readonly sync: string | undefined;
  readonly startMs: number;
  readonly seconds: number;
  readonly verdict: Verdict | undefined;
  readonly parameters: number | undefined;
  readonly samplesPerEpoch: number | undefined;
  readonly samplesApplied: number;
  readonly rounds: number;
  readonly trainLoss: readonly CurvePoint[];
  readonly trainAccuracy: readonly CurvePoint[];
  readonly validationLoss: readonly CurvePoint[];
  readonly validationAccuracy: readonly CurvePoint[];
  /** When the model was validated, milliseconds from the start of the run. */
  readonly validations: readonly { readonly from: number; readonly to: number }[];
  /** Most samples first. */
  readonly workers: readonly WorkerData[];
  /** In the order of the workers; empty where the server steps. */
  readonly localSteps: readonly LocalStepsData[];
  /** Why the last ones are so many. */
  readonly localStepsReason: string;
  readonly incidents: readonly Incident[];
}

type EventOf<Name extends RunEvent['event']> = Extract<RunEvent, { readonly event: Name }>;

/** Reads a log, whole or still growing, into what the report shows. */
export function collectRun(events: readonly StoredEvent[]): RunData {
  const collector = new Collector(events[0]?.timeMs ?? 0);
  for (const event of standingEvents(events)) collector.add(event);
  return collector.result(events.at(-1)?.timeMs ?? 0);
}

interface MutableWorker {
  name: string;
  engine: string;
  device: string;
  throttle: number | undefined;
  present: boolean;
  readonly contributions: EventOf<'contribution'>[];
  readonly sends: CurvePoint[];
}

class Collector {
  private job: Job | undefined;
  private run = '';
  private sync: string | undefined;
  private verdict: Verdict | undefined;
  private parameters: number | undefined;
  private samplesPerEpoch: number | undefined;
  private samplesApplied = 0;
  private rounds = 0;
  private readonly curves = {
    trainLoss: [] as CurvePoint[],
    trainAccuracy: [] as CurvePoint[],
    validationLoss: [] as CurvePoint[],
    validationAccuracy: [] as CurvePoint[],
  };
  private readonly validations: { from: number; to: number }[] = [];
  private readonly byNode = new Map<string, MutableWorker>();
  private readonly workers: MutableWorker[] = [];
  private readonly roundEnds = new Map<number, number>();
  private readonly incidents: Incident[] = [];
  /** By group. */
  private readonly localSteps = new Map<string, CurvePoint[]>();
  private localStepsReason = '';

  constructor(private readonly startMs: number) {}

  add({ timeMs, body }: StoredEvent): void {
    const seconds = (timeMs - this.startMs) / 1000;
    const incident = (kind: Incident['kind'], text: string, hint = ''): void => void this.incidents.push({ seconds, kind, text, hint });
    switch (body.event) {
      case 'submitted':
        this.job = body.job;
        this.run = body.run;
        break;
      case 'node_joined':
        this.join(body);
        if (this.rounds > 0) incident('joined', `${body.name} joined`);
        break;
      case 'node_left':
        this.workerOf(body.node, body.name).present = false;
        incident('left', `${body.name} left: ${body.reason}`);
        break;
      case 'node_paused':
        incident('paused', `${body.name} is paused: ${body.reason}`);
        break;
      case 'node_resumed':
        incident('resumed', `${body.name} works again`);
        break;
      case 'worker_ready':
        this.workerOf(body.node, body.name).engine = body.engine;
        break;
      case 'sync':
        this.sync = body.reason;
        break;
      case 'started':
        this.parameters = body.parameters;
        this.samplesPerEpoch = body.samplesPerEpoch;
        break;
      case 'contribution':
        this.contribute(this.workerOf(body.node, body.name), body, seconds);
        if (!body.accepted)
          incident('rejected', `Round ${body.round}: ${body.samples} samples of ${body.name} were not applied: ${body.reason}`);
        break;
      case 'commit':
        this.commit(body, timeMs, seconds);
        break;
      case 'shares':
        if (body.unit === 'local steps') this.takeSteps(body, seconds);
        break;
      case 'validation':
        this.validations.push({ from: timeMs - this.startMs - body.ms, to: timeMs - this.startMs });
        this.push('validationLoss', seconds, body.loss);
        this.push('validationAccuracy', seconds, body.accuracy);
        break;
      case 'warning':
        incident('warning', body.message, body.hint);
        break;
      case 'recording_stopped':
        incident('warning', `The recording ends with version ${body.version}: ${body.reason}`);
        break;
      case 'resumed':
        this.verdict = undefined;
        this.samplesApplied = body.samplesApplied;
        incident('warning', `Resumed at version ${body.version}: ${body.reason}; ${body.undone.samples} samples of ${body.undone.commits} commits after it were learnt again`);
        break;
      case 'taken_over':
        incident('warning', `${body.address} has taken over from ${body.from} at version ${body.version}, ${body.roundsLost} rounds lost: ${body.reason}`);
        break;
      case 'standby':
        if (body.state !== 'in step') incident('warning', `Standby ${body.address}: ${body.reason}`);
        break;
      case 'error':
        incident('error', body.error.message, body.error.hint);
        break;
      case 'verdict':
        this.verdict = body;
        if (body.error && body.status === 'failed') incident('error', body.error.message, body.error.hint);
        break;
    }
  }

  result(endMs: number): RunData {
    const workers = this.workers.filter(({ contributions }) => contributions.length > 0).map((worker) => this.measure(worker));
    workers.sort((a, b) => b.samples - a.samples);
    return {
      run: this.run,
      job: this.job,
      sync: this.sync,
      startMs: this.startMs,
      seconds: (endMs - this.startMs) / 1000,
      verdict: this.verdict,
      parameters: this.parameters,
      samplesPerEpoch: this.samplesPerEpoch,
      samplesApplied: this.samplesApplied,
      rounds: this.rounds,
      ...this.curves,
      validations: this.validations,
      workers,
      localSteps: this.stepsByName(workers),
      localStepsReason: this.localStepsReason,
      incidents: this.incidents,
    };
  }

  private contribute(worker: MutableWorker, body: EventOf<'contribution'>, seconds: number): void {
    worker.contributions.push(body);
    if (body.exchange === undefined) return;
    worker.sends.push({ seconds, samples: this.samplesApplied, value: timeParts(body.computeMs, body.exchange).sends });
  }

  private takeSteps({ shares, reason }: EventOf<'shares'>, seconds: number): void {
    this.localStepsReason = reason;
    for (const [group, value] of Object.entries(shares)) {
      let points = this.localSteps.get(group);
      if (points === undefined) this.localSteps.set(group, (points = []));
      points.push({ seconds, samples: this.samplesApplied, value });
    }
  }

  /** A node that came back under its name has another id: its steps go on in the same curve. */
  private stepsByName(workers: readonly WorkerData[]): readonly LocalStepsData[] {
    const byName = new Map<string, CurvePoint[]>(workers.filter(() => this.localSteps.size > 0).map(({ name }) => [name, []]));
    for (const [group, points] of this.localSteps) {
      const name = this.byNode.get(group)?.name ?? group;
      byName.set(name, [...(byName.get(name) ?? []), ...points]);
    }
    return [...byName].filter(([, points]) => points.length > 0).map(([name, points]) => ({ name, points: points.sort((a, b) => a.seconds - b.seconds) }));
  }

  private commit(event: EventOf<'commit'>, timeMs: number, seconds: number): void {
    this.rounds++;
    this.samplesApplied = event.samplesApplied;
    this.roundEnds.set(event.round, timeMs);
    if (event.samples === 0) return;
    this.push('trainLoss', seconds, event.loss);
    this.push('trainAccuracy', seconds, event.accuracy);
  }

  /** JSON has no NaN: a diverged loss is null in the log, and a gap in the curve. */
  private push(curve: keyof Collector['curves'], seconds: number, value: number | null): void {
    if (value !== null && Number.isFinite(value)) this.curves[curve].push({ seconds, samples: this.samplesApplied, value });
  }

  /** A node that comes back under its name goes on in its row; two of one name at a time have their own. */
  private join({ node, name, engine, device, throttle }: EventOf<'node_joined'>): void {
    const returning = this.workers.find((worker) => worker.name === name && !worker.present);
    const worker = returning ?? this.addWorker(name, node);
    Object.assign(worker, { engine, device, throttle, present: true });
    this.byNode.set(node, worker);
  }

  private workerOf(node: string, name: string): MutableWorker {
    const known = this.byNode.get(node);
    if (known) return known;
    const worker = this.addWorker(name, node);
    this.byNode.set(node, worker);
    return worker;
  }

  private addWorker(name: string, node: string): MutableWorker {
    const taken = this.workers.some((worker) => worker.name === name);
    const worker: MutableWorker = {
      name: taken ? `${name} (${node})` : name,
      engine: '',
      device: '',
      throttle: undefined,
      present: true,
      contributions: [],
      sends: [],
    };
    this.workers.push(worker);
    return worker;
  }

  private measure({ name, engine, device, throttle, contributions, sends }: MutableWorker): WorkerData {
    const spans = contributions.map((contribution) => this.toSpan(contribution));
    const sum = (value: (i: number) => number): number => spans.reduce((total, _, i) => total + value(i), 0);
    return {
      name,
      engine,
      device,
      throttle,
      spans,
      samples: sum((i) => (spans[i].accepted ? spans[i].samples : 0)),
      part: sum((i) => (spans[i].accepted ? spans[i].part : 0)),
      rejected: spans.filter(({ accepted }) => !accepted).length,
      computeMs: sum((i) => spans[i].computeTo - spans[i].computeFrom),
      transferMs: sum((i) => spans[i].done - spans[i].sent - (spans[i].computeTo - spans[i].computeFrom)),
      waitMs: sum((i) => spans[i].roundEnd - spans[i].done),
      bytesUp: sum((i) => contributions[i].bytesUp),
      bytesDown: sum((i) => contributions[i].bytesDown),
      bytesSaved: sum((i) => contributions[i].bytesSaved ?? 0),
      exchange: contributions.flatMap(({ exchange }) => exchange ?? []).reduce<ExchangeTimes | undefined>((all, one) => (all ? addTimes(all, one) : one), undefined),
      sends,
    };
  }

  /** Where a contribution does not say how long its parameters took, the transfer before and after computing is taken as equal. */
  private toSpan({ round, sentAtMs, doneAtMs, computeMs, samples, accepted, reason, stage, exchange }: EventOf<'contribution'>): WorkSpan {
    const sent = sentAtMs - this.startMs;
    const done = Math.max(sent, doneAtMs - this.startMs);
    const compute = Math.min(computeMs, done - sent);
    const computeFrom = sent + Math.min(exchange?.receiveMs ?? (done - sent - compute) / 2, done - sent - compute);
    const roundEnd = Math.max(done, (this.roundEnds.get(round) ?? 0) - this.startMs);
    const part = (samples * (stage?.held ?? 1)) / (stage?.stages ?? 1);
    return { round, sent, computeFrom, computeTo: computeFrom + compute, done, roundEnd, samples, part, accepted, reason };
  }
}
