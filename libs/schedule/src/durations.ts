import type { Action, StageTiming } from '@longtail/core';

export function durationMs(op: Action['op'], { forwardMs, backwardMs, inputGradientMs }: StageTiming): number {
  switch (op) {
    case 'F':
      return forwardMs;
    case 'B':
      return backwardMs;
    case 'I':
      return inputGradientMs;
    case 'W':
      return backwardMs - inputGradientMs;
  }
}
