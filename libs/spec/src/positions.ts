import type { Document, Node } from 'yaml';
import { isMap, isScalar, isSeq } from 'yaml';

/** Where in a YAML text a path of keys lies, as an offset. A path that leads nowhere gives the place of its deepest part that is there. */
export function positionOf(document: Document, path: readonly PropertyKey[]): number {
  let node: unknown = document.contents;
  let offset = startOf(node) ?? 0;
  for (const key of path) {
    const child = childOf(node, key);
    if (child === undefined) break;
    offset = startOf(child.label) ?? offset;
    node = child.value;
  }
  return offset;
}

/** `label` is what a reader looks for: the key of a map's entry, the entry itself in a list. */
function childOf(node: unknown, key: PropertyKey): { label: unknown; value: unknown } | undefined {
  if (isMap(node)) {
    const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(key));
    return pair && { label: pair.key, value: pair.value };
  }
  if (isSeq(node) && typeof key === 'number' && key in node.items) return { label: node.items[key], value: node.items[key] };
  return undefined;
}

function startOf(node: unknown): number | undefined {
  return (node as Node | null | undefined)?.range?.[0];
}
