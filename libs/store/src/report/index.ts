import type { StoredEvent } from '@longtail/core';

/** The report of a run as one HTML page, from its events alone. */
export function renderReport(events: readonly StoredEvent[]): string {
  const submitted = events.map(({ body }) => body).find((body) => body.event === 'submitted');
  const title = (submitted?.job.name ?? 'Run').replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title><h1>${title}</h1></html>\n`;
}
