import type { ParameterLayout } from '@longtail/core';
import type { Group } from './group.js';
import { cutEvenly, heldBy, segmentsOf, type Segment } from './segments.js';

/** How the model is cut into what travels as one: at the borders of the stages of those who take part, or into fragments. */
export class ModelCut {
  segments: readonly Segment[] = [];
  private groups: readonly Group[] = [];
  private fragments: number | undefined;

  constructor(private readonly chunkLength: number) {}

  isFor(groups: readonly Group[], fragments: number | undefined): boolean {
    return fragments === this.fragments && groups.length === this.groups.length && groups.every((group, i) => group === this.groups[i]);
  }

  /** Cuts it for these groups, of which each member is told what it holds. Returns whether the segments are not those that they were. */
  cutFor(groups: readonly Group[], fragments: number | undefined, whole: ParameterLayout): boolean {
    const { chunkLength } = this;
    this.groups = groups;
    this.fragments = fragments;
    const layouts = groups.map(({ members }) => members.map(({ prepared }) => prepared!.layout));
    const segments = fragments === undefined ? segmentsOf(whole, layouts, chunkLength) : cutEvenly(whole.length, fragments, chunkLength);
    const isOther = !sameCut(segments, this.segments);
    if (isOther) this.segments = segments;
    // Who holds the whole vector holds the segments one behind the other.
    const all = this.segments.map((segment) => ({ segment, start: segment.offset }));
    for (const { members, solo } of groups) for (const member of members) member.segments = solo ? all : heldBy(member.prepared!.layout, this.segments);
    return isOther;
  }
}

function sameCut(a: readonly Segment[], b: readonly Segment[]): boolean {
  return a.length === b.length && a.every(({ offset, grid }, i) => offset === b[i]!.offset && grid.length === b[i]!.grid.length);
}
