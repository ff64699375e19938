/** Where a version lies: `v00000012`, and `v00000012-1` when a resumed run wrote it again, so that none is removed before its successor is there. */
export interface Place {
  readonly version: number;
  readonly attempt: number;
  readonly name: string;
}

/** Newest first; other names are passed over. */
export function placesIn(names: readonly string[]): readonly Place[] {
  const places = names.flatMap((name) => {
    const match = /^v(\d{8,})(?:-(\d+))?$/.exec(name);
    return match ? [{ version: Number(match[1]), attempt: Number(match[2] ?? 0), name }] : [];
  });
  return places.sort((a, b) => b.version - a.version || b.attempt - a.attempt);
}

/** The name of a version that is written now. */
export function nextPlace(version: number, places: readonly Place[]): string {
  const earlier = places.find((place) => place.version === version);
  return `v${String(version).padStart(8, '0')}${earlier ? `-${earlier.attempt + 1}` : ''}`;
}

/** To be removed once `version` is written: what is newer, as another history wrote it or it is damaged, and all but the newest `keep` of the others. */
export function outlived(version: number, places: readonly Place[], keep: number): readonly Place[] {
  const newer = places.filter((place) => place.version > version);
  return [...newer, ...places.slice(newer.length + Math.max(1, keep))];
}
