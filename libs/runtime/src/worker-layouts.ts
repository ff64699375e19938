import { layOut, LongtailError, type ParameterLayout, type ParameterSlot } from '@longtail/core';
import { LIMITS } from '@longtail/protocol';

/** How a worker says that its stages are laid out, checked as whatever comes from a peer. Throws LongtailError `protocol`. */
export function parseLayouts(json: string): readonly ParameterLayout[] {
  const layouts = parse(json);
  if (Array.isArray(layouts) && layouts.every(isLayout)) return layouts;
  throw new LongtailError('its layouts are none: tensors with names and shapes, one behind the other', { code: 'protocol', where: 'Ready.layoutsJson' });
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

function isLayout(value: unknown): value is ParameterLayout {
  const { slots, length } = (value ?? {}) as Partial<ParameterLayout>;
  if (!Array.isArray(slots) || !slots.every(isSlot) || new Set(slots.map(({ name }) => name)).size < slots.length) return false;
  const laidOut = layOut(slots);
  return laidOut.length === length && length <= LIMITS.tensorLength && slots.every((slot, i) => slot.offset === laidOut.slots[i]!.offset && slot.length === laidOut.slots[i]!.length);
}

function isSlot(value: unknown): value is ParameterSlot {
  const { name, shape, trainable } = (value ?? {}) as Partial<ParameterSlot>;
  return typeof name === 'string' && typeof trainable === 'boolean' && Array.isArray(shape) && shape.every((dimension) => Number.isSafeInteger(dimension) && dimension >= 0);
}
