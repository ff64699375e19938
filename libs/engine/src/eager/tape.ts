import { LongtailError } from '@longtail/core';
import type * as tfjs from '@tensorflow/tfjs';

/** An operation as TF.js records it on its tape (tfjs-core/src/tape.ts). */
interface TapeNode {
  readonly kernelName: string;
  readonly inputs: Readonly<Record<string, tfjs.Tensor | undefined>>;
  readonly outputs: readonly tfjs.Tensor[];
  readonly saved?: readonly tfjs.Tensor[];
  readonly gradient?: (dys: readonly (tfjs.Tensor | null)[]) => Readonly<Record<string, () => tfjs.Tensor>>;
}

/** The part of TF.js's engine that records; private in the typings only. */
interface TapeRecorder {
  readonly state: { activeTape: TapeNode[] | null; readonly gradientDepth: number };
  startTape(): void;
  endTape(): void;
  startScope(name: string): void;
  endScope(result?: tfjs.Tensor): void;
}

/**
 * Runs `f` and keeps its tape, so that the gradient can be taken later, with other tapes open in between: what a pipeline
 * stage needs and `tf.grads`, which runs forward and backward in one go, cannot give. Same operations in the same order
 * as `engine.gradients`, so the same bits.
 * @param inputs the tensors whose gradients are wanted.
 */
export function record(tf: typeof tfjs, inputs: readonly tfjs.Tensor[], f: () => tfjs.Tensor): Tape {
  const recorder = tf.engine() as unknown as TapeRecorder;
  if (recorder.state.gradientDepth !== 0) throw new Error('a tape is being recorded already');
  let output: tfjs.Tensor | undefined;
  let nodes: TapeNode[] = [];
  recorder.startTape();
  recorder.startScope('stage');
  try {
    const result = f();
    // A stage that hands its input through must not give the caller's own tensor away.
    output = inputs.includes(result) ? tf.clone(result) : result;
  } finally {
    nodes = recorder.state.activeTape ?? [];
    recorder.endScope(output);
    recorder.endTape();
    recorder.state.activeTape = null; // it is ours now
    if (output === undefined) nodes.forEach(freeSaved);
  }
  return new Tape(tf, inputs, output, nodes);
}

/** A forward pass that waits for its backward pass, holding what that will need. */
export class Tape {
  /** From output to input: the operations that lead from an input to the output. */
  private readonly path: readonly TapeNode[];
  private readonly fromInputs: ReadonlySet<number>;
  private open = true;
  /** Between the halves of backward: gradients of the operations' outputs, for the inputs other than the first. */
  private halved: Map<number, tfjs.Tensor> | undefined;

  constructor(
    private readonly tf: typeof tfjs,
    private readonly inputs: readonly tfjs.Tensor[],
    readonly output: tfjs.Tensor,
    nodes: readonly TapeNode[],
  ) {
    this.fromInputs = reachableFrom(inputs, nodes);
    this.path = pathToOutput(output, nodes, this.fromInputs);
    const needed = new Set(this.path);
    nodes.filter((node) => !needed.has(node)).forEach(freeSaved);
  }

  /** What the tape keeps, the stage's own inputs included where operations need them. */
  get saved(): readonly tfjs.Tensor[] {
    return [...this.path.flatMap((node) => node.saved ?? []).filter((tensor) => !tensor.isDisposed), ...(this.halved?.values() ?? [])];
  }

  /**
   * Gradient of `sum(output · gradOutput)` for each input, undefined where the output does not depend on it. The tensors
   * are the caller's to dispose. Each operation's stash is freed as soon as it is used; a tape is good for one call.
   */
  backward(gradOutput: tfjs.Tensor): (tfjs.Tensor | undefined)[] {
    const gradients = this.begin(gradOutput);
    for (const node of this.path) {
      this.tf.tidy(() => this.propagate(node, gradients, this.fromInputs));
      node.outputs.forEach((output) => this.release(output.id, gradients));
      freeSaved(node);
    }
    this.release(this.output.id, gradients);
    return this.inputs.map((input) => gradients.get(input.id));
  }

  /** The gradient of the first input alone. What only that needed is freed; `backwardRest` gives the others. */
  backwardFirst(gradOutput: tfjs.Tensor): tfjs.Tensor | undefined {
    const gradients = this.begin(gradOutput);
    const fromFirst = reachableFrom(this.inputs.slice(0, 1), this.path.toReversed());
    for (const node of this.path.filter((candidate) => reads(candidate, fromFirst))) {
      this.tf.tidy(() => this.propagate(node, gradients, fromFirst));
      if (this.readsOthers(node, fromFirst)) continue;
      node.outputs.forEach((output) => this.release(output.id, gradients));
      freeSaved(node);
    }
    this.halved = gradients;
    const first = gradients.get(this.inputs[0].id);
    gradients.delete(this.inputs[0].id);
    return first;
  }

  /** After `backwardFirst`: the gradients of the other inputs. */
  backwardRest(): (tfjs.Tensor | undefined)[] {
    const gradients = this.halved;
    if (gradients === undefined) throw new Error('the gradient of the first input comes first');
    this.halved = undefined;
    const fromFirst = reachableFrom(this.inputs.slice(0, 1), this.path.toReversed());
    const others = new Set([...this.fromInputs].filter((id) => !fromFirst.has(id)));
    for (const node of this.path.filter((candidate) => reads(candidate, others))) {
      this.tf.tidy(() => this.propagate(node, gradients, others));
      node.outputs.forEach((output) => this.release(output.id, gradients));
      freeSaved(node);
    }
    this.release(this.output.id, gradients);
    return this.inputs.slice(1).map((input) => gradients.get(input.id));
  }

  /** Frees the stash of a forward pass whose backward pass will not come. */
  drop(): void {
    this.saved.forEach((tensor) => tensor.dispose());
    this.open = false;
    this.halved = undefined;
  }

  private begin(gradOutput: tfjs.Tensor): Map<number, tfjs.Tensor> {
    if (!this.open) throw new Error('the tape is used up');
    this.open = false;
    return new Map([[this.output.id, this.tf.keep(this.tf.clone(gradOutput))]]);
  }

  private release(id: number, gradients: Map<number, tfjs.Tensor>): void {
    if (this.inputs.some((input) => input.id === id)) return;
    gradients.get(id)?.dispose();
    gradients.delete(id);
  }

  /** Whether an operation leads to inputs that the first one has no part in. */
  private readsOthers(node: TapeNode, fromFirst: ReadonlySet<number>): boolean {
    return Object.values(node.inputs).some((input) => input !== undefined && this.fromInputs.has(input.id) && !fromFirst.has(input.id));
  }

  /** Adds to the gradients of those inputs of an operation that lead to what is wanted. */
  private propagate(node: TapeNode, gradients: Map<number, tfjs.Tensor>, wanted: ReadonlySet<number>): void {
    if (node.gradient === undefined) {
      throw new LongtailError(`the model's operation ${node.kernelName} has no gradient`, { code: 'invalid-file', hint: 'Use differentiable operations between parameters and output.' });
    }
    const thunks = node.gradient(node.outputs.map((output) => gradients.get(output.id) ?? null));
    for (const [name, input] of Object.entries(node.inputs)) {
      if (input === undefined || !wanted.has(input.id)) continue;
      const partial = thunks[name]();
      const sum = gradients.get(input.id);
      // A gradient may be handed through as it is: what someone else keeps is not ours to free.
      const total = sum ? this.tf.add(sum, partial) : (partial as { kept?: boolean }).kept ? this.tf.clone(partial) : partial;
      gradients.set(input.id, this.tf.keep(total));
      sum?.dispose();
    }
  }
}

function reads(node: TapeNode, ids: ReadonlySet<number>): boolean {
  return Object.values(node.inputs).some((input) => input !== undefined && ids.has(input.id));
}

function reachableFrom(inputs: readonly tfjs.Tensor[], nodes: readonly TapeNode[]): ReadonlySet<number> {
  const reached = new Set(inputs.map((input) => input.id));
  for (const node of nodes) {
    if (reads(node, reached)) node.outputs.forEach((output) => reached.add(output.id));
  }
  return reached;
}

function pathToOutput(output: tfjs.Tensor, nodes: readonly TapeNode[], fromInputs: ReadonlySet<number>): readonly TapeNode[] {
  const leading = new Set([output.id]);
  const path: TapeNode[] = [];
  for (const node of [...nodes].reverse()) {
    if (!node.outputs.some((result) => leading.has(result.id))) continue;
    Object.values(node.inputs).forEach((input) => input !== undefined && leading.add(input.id));
    if (node.outputs.some((result) => fromInputs.has(result.id))) path.push(node);
  }
  return path;
}

function freeSaved(node: TapeNode): void {
  node.saved?.forEach((tensor) => tensor.dispose());
}
