import { existsSync, readdirSync, truncateSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { NO_SEGMENT, PeerSegment, SharedSegment } from './shared-segment.js';
import { noise } from './testing/fixtures.js';

const KIB = 1024;

describe.runIf(existsSync('/dev/shm'))('a shared segment', () => {
  function withSegment(slots: number, slotBytes: number, use: (segment: SharedSegment, peer: PeerSegment) => void): void {
    const segment = SharedSegment.create(slots, slotBytes)!;
    const peer = PeerSegment.open(segment.description)!;
    use(segment, peer);
    peer.close();
    segment.close();
  }

  it('gives a peer the bytes that were placed, over as many slots as they need', () => {
    withSegment(4, KIB, (segment, peer) => {
      const bytes = noise(2 * KIB + 100, 1);
      const slots = segment.place(bytes)!;
      expect(slots).toHaveLength(3);
      const copy = new Uint8Array(bytes.length);
      slots.forEach((slot, index) => expect(peer.read(slot, copy.subarray(index * KIB, (index + 1) * KIB))).toBe(true));
      expect(copy).toEqual(bytes);
    });
  });

  it('has no place when its slots are taken, until they are released', () => {
    withSegment(3, KIB, (segment) => {
      const slots = segment.place(noise(2 * KIB, 1))!;
      expect(segment.place(noise(2 * KIB, 2))).toBeUndefined();
      segment.release(slots);
      expect(segment.place(noise(3 * KIB, 3))).toHaveLength(3);
    });
  });

  it('knows which slots exist', () => {
    withSegment(3, KIB, (_segment, peer) => {
      expect([0, 1, 3, 4].map((slot) => peer.holds(slot, KIB))).toEqual([false, true, true, false]);
      expect(peer.holds(1, KIB + 1)).toBe(false);
    });
  });

  it('survives a peer that truncates the file', () => {
    withSegment(2, KIB, (segment, peer) => {
      const [slot] = segment.place(noise(KIB, 1))!;
      truncateSync(`/dev/shm/${segment.description.name}`, 0);
      expect(peer.read(slot!, new Uint8Array(KIB))).toBe(false);
    });
  });

  it('is found by its exact name and size only', () => {
    withSegment(2, KIB, ({ description }) => {
      for (const other of [NO_SEGMENT, { ...description, slots: 3 }, { ...description, name: '../../etc/passwd' }, { ...description, name: description.name.replace(/.$/, 'x') }]) {
        expect(PeerSegment.open(other)).toBeUndefined();
      }
    });
  });

  it('leaves nothing behind, also for processes that were killed', () => {
    const leftover = `longtail-${aDeadPid()}-${'0'.repeat(32)}`;
    writeFileSync(`/dev/shm/${leftover}`, '');
    withSegment(1, KIB, () => undefined);
    const ours = readdirSync('/dev/shm').filter((name) => name === leftover || name.startsWith(`longtail-${process.pid}-`));
    expect(ours).toEqual([]);
  });
});

/** Above any that Linux gives out. */
function aDeadPid(): number {
  return 2 ** 22 + 1;
}
