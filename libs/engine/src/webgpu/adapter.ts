import { LongtailError } from '@longtail/core';
import type { Mappable } from './poll-rarely.js';

/** The parts of WebGPU's GPUAdapter that matter here (Node's typings have no WebGPU). */
export interface Adapter {
  readonly info: { readonly vendor: string; readonly architecture: string; readonly device: string; readonly description: string };
}

interface Gpu {
  requestAdapter(): Promise<Adapter | null>;
}

type DawnGlobals = Readonly<Record<string, unknown>> & { readonly GPUBuffer: { readonly prototype: Mappable } };

/** Dawn with the adapter that it would use; hold on to `gpu` for as long as the adapter is in use, and no longer: Node does not exit before. */
export interface Dawn {
  readonly gpu: Gpu;
  readonly adapter: Adapter;
  /** WebGPU's constants and classes, as a browser has them on `globalThis`. */
  readonly globals: DawnGlobals;
}

/** @throws LongtailError `engine`: no binary for this platform, or no adapter; the hint says what to install. */
export async function findAdapter(): Promise<Dawn> {
  const { create, globals } = await loadDawn();
  const gpu = create([]);
  const adapter = await gpu.requestAdapter();
  if (adapter === null) throw new LongtailError('WebGPU finds no graphics device', { code: 'engine', hint: driverHint() });
  return { gpu, adapter, globals };
}

/** True for an adapter that computes on the processor. */
export function isSoftware({ info }: Adapter): boolean {
  return /swiftshader|llvmpipe|lavapipe|basic render/i.test(`${info.architecture} ${info.device} ${info.description}`);
}

async function loadDawn(): Promise<{ create(flags: string[]): Gpu; globals: DawnGlobals }> {
  try {
    return (await import('webgpu')) as unknown as { create(flags: string[]): Gpu; globals: DawnGlobals };
  } catch (error) {
    throw new LongtailError(`WebGPU has no binary for ${process.platform}-${process.arch}`, { code: 'engine', cause: error, hint: 'Use another engine: --engine wasm.' });
  }
}

function driverHint(): string {
  if (process.platform !== 'linux') return 'Update the graphics driver, or use another engine: --engine wasm.';
  return "Install Vulkan and the card's driver for it (Debian: libvulkan1 with mesa-vulkan-drivers or nvidia-vulkan-icd); VK_ICD_FILENAMES can name the driver's JSON. Or use another engine: --engine wasm.";
}
