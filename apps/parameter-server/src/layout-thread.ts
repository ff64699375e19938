import { parentPort, workerData } from 'node:worker_threads';
import { LongtailError } from '@longtail/core';
import { plannedLayout } from '@longtail/layout';
import type { LayoutReply, SearchedLayout } from './layout-beside.js';

function send(reply: LayoutReply): void {
  parentPort!.postMessage(reply);
}

try {
  const { request, profile } = workerData as SearchedLayout;
  const { shortfall, ...layout } = plannedLayout(() => profile)(request);
  send({ kind: 'done', layout: { ...layout, shortfall: shortfall?.toWire() } });
} catch (error) {
  send({ kind: 'failed', error: LongtailError.from(error).toWire() });
}
