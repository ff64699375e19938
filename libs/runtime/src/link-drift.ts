import type { LayoutNode, MeasuredLink } from '@longtail/core';

interface Linked {
  readonly node: string;
  readonly session: { readonly link: MeasuredLink | undefined };
}

/** As a layout was told of them. */
type Told = Pick<LayoutNode, 'node' | 'link'>;

/** What strays no further is noise. */
const DRIFT = 0.2;

/** Whether somebody's link is not what it was when a layout was last asked for. */
export class LinkDrift {
  private noted = new Map<string, MeasuredLink | undefined>();

  note(nodes: readonly Told[]): void {
    this.noted = new Map(nodes.map(({ node, link }) => [node, link]));
  }

  in(members: readonly Linked[]): boolean {
    return members.some(({ node, session }) => {
      const before = this.noted.get(node);
      return before !== undefined && session.link !== undefined && strays(before, session.link);
    });
  }
}

/** Either rate has changed by more than a fifth. */
export function strays(before: MeasuredLink, now: MeasuredLink): boolean {
  const change = (rate: 'upBitsPerSecond' | 'downBitsPerSecond'): number => Math.abs(now[rate] / before[rate] - 1);
  return Math.max(change('upBitsPerSecond'), change('downBitsPerSecond')) > DRIFT;
}
