import { fstatSync, ftruncateSync, openSync, closeSync, readdirSync, readlinkSync, readSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Segment } from '@longtail/protocol';
import { afterEach, describe, expect, it } from 'vitest';
import { nativeMemory } from './native-memory.js';
import { PeerSegment } from './peer-segment.js';
import { createTensorMemory, NO_SEGMENT, PAGE_BYTES, type TensorMemory } from './tensor-memory.js';
import { noise } from './testing/fixtures.js';

const MIB = 1024 * 1024;

const closers: (() => void)[] = [];

afterEach(() => {
  for (const close of closers.splice(0)) close();
});

function memory(): TensorMemory {
  const made = createTensorMemory();
  closers.push(() => made.close());
  return made;
}

function opened(segment: Segment): PeerSegment {
  const peer = PeerSegment.open(segment)!;
  closers.push(() => peer.close());
  return peer;
}

describe.runIf(nativeMemory() !== undefined)('tensor memory', () => {
  it('is seen by a peer as it changes, without a copy', () => {
    const own = memory();
    const peer = opened(own.segment);
    const bytes = own.allocate(3 * MIB);
    bytes.set(noise(3 * MIB, 1));
    const view = peer.view(own.positionOf(bytes.subarray(100, 200))!, 100);
    expect(view).toEqual(noise(3 * MIB, 1).subarray(100, 200));
    bytes[150] = 7;
    expect(view[50]).toBe(7);
  });

  it('knows its own bytes from others', () => {
    const own = memory();
    const [a, b] = [own.allocate(10), own.allocate(PAGE_BYTES + 1)];
    expect(own.positionOf(a)).toBe(PAGE_BYTES);
    expect(own.positionOf(b.subarray(5))).toBe(2 * PAGE_BYTES + 5);
    expect(own.positionOf(new Uint8Array(10))).toBeUndefined();
    expect(memory().positionOf(a)).toBeUndefined();
  });

  it('takes memory for what is allocated only, and for that at once', () => {
    const own = memory();
    expect(fstatSync(own.segment.fd).blocks).toBe(0);
    own.allocate(MIB);
    expect(fstatSync(own.segment.fd).blocks * 512).toBe(MIB);
  });

  it('gives memory back when nothing refers to it any more', async () => {
    const own = memory();
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    for (let index = 0; index < 4; index++) own.allocate(MIB);
    const kept = own.allocate(MIB);
    for (let turn = 0; turn < 50 && fstatSync(own.segment.fd).blocks * 512 > MIB; turn++) {
      collect();
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(fstatSync(own.segment.fd).blocks * 512).toBe(MIB);
    expect(own.positionOf(kept)).toBe(PAGE_BYTES + 4 * MIB);
    expect(own.positionOf(own.allocate(2 * MIB))).toBe(PAGE_BYTES);
  });

  it('falls back on memory that is not shared when it has no more', () => {
    const own = memory();
    own.close();
    const bytes = own.allocate(MIB);
    expect([bytes.length, own.positionOf(bytes)]).toEqual([MIB, undefined]);
  });

  it('cannot be cut short or grown, by its owner or a peer', () => {
    const { segment } = memory();
    for (const path of [`/proc/self/fd/${segment.fd}`, `/proc/${process.pid}/fd/${segment.fd}`]) {
      const fd = openSync(path, 'r+');
      for (const bytes of [0, segment.bytes + PAGE_BYTES]) expect(() => ftruncateSync(fd, bytes)).toThrow('EPERM');
      closeSync(fd);
    }
  });

  it('is nowhere in the file system and for nobody else', () => {
    const { segment } = memory();
    expect(readdirSync('/dev/shm')).not.toContain(segment.name);
    expect(fstatSync(segment.fd).mode & 0o777).toBe(0o600);
  });
});

describe.runIf(nativeMemory() !== undefined)("a peer's segment", () => {
  it('reaches from the second page to its end', () => {
    const { segment } = memory();
    const peer = opened(segment);
    const { bytes } = segment;
    const places = [
      [0, 1],
      [PAGE_BYTES - 1, 1],
      [PAGE_BYTES, 1],
      [bytes - 10, 10],
      [bytes - 10, 11],
      [2 ** 53 - 1, 1],
    ] as const;
    expect(places.map(([position, length]) => peer.holds(position, length))).toEqual([false, false, true, true, false, false]);
  });

  it('is not taken for another one', () => {
    const { segment } = memory();
    const other = memory().segment;
    for (const wrong of [
      NO_SEGMENT,
      { ...segment, fd: other.fd },
      { ...segment, pid: 2 ** 22 + 1 },
      { ...segment, pid: 1 },
      { ...segment, bytes: segment.bytes - PAGE_BYTES },
      { ...segment, name: other.name },
      { ...segment, name: '../../etc/passwd' },
    ]) {
      expect(PeerSegment.open(wrong)).toBeUndefined();
    }
  });

  it('is not opened when its owner could cut it short', () => {
    const native = nativeMemory()!;
    const name = `longtail-${'0'.repeat(32)}`;
    const fd = native.createFile(name)!;
    closers.push(() => closeSync(fd));
    ftruncateSync(fd, MIB);
    const segment = { name, pid: process.pid, fd, bytes: MIB };
    expect(PeerSegment.open(segment)).toBeUndefined();
    native.fixSize(fd);
    expect(PeerSegment.open(segment)).toBeDefined();
  });

  it('leaves other files alone', () => {
    const fd = openSync('/dev/zero', 'r');
    closers.push(() => closeSync(fd));
    expect(PeerSegment.open({ name: `longtail-${'0'.repeat(32)}`, pid: process.pid, fd, bytes: MIB })).toBeUndefined();
    expect(readSync(fd, new Uint8Array(1))).toBe(1);
  });

  it('keeps no descriptor, and its views stay when it is closed', () => {
    const own = memory();
    const bytes = own.allocate(10);
    bytes[3] = 9;
    const before = descriptors(own.segment.name);
    const peer = PeerSegment.open(own.segment)!;
    expect(descriptors(own.segment.name)).toBe(before);
    const view = peer.view(own.positionOf(bytes)!, 10);
    peer.close();
    expect(view[3]).toBe(9);
  });
});

/** How many this process has of the file. */
function descriptors(name: string): number {
  const links = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ''; // that of the folder's own listing
    }
  });
  return links.filter((link) => link.includes(name)).length;
}
