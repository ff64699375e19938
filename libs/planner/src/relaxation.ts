/** What layers cost at least, where any part of a device may be taken for that part of its price. */
export class Relaxation {
  /** By device: what a layer costs at least, and most layers. */
  readonly each: Float64Array;
  readonly room: Int32Array;
  /** What the dearest layer of the last solution costs. No whole number at first: V8 compiles anew what reads a field that held only such. */
  worth = NaN;
  private readonly used: Uint8Array;

  constructor(private readonly count: number) {
    this.each = new Float64Array(count);
    this.room = new Int32Array(count);
    this.used = new Uint8Array(count);
  }

  /** Of so many layers, each of which may also be had for `share`, beside `head`; anything from `enough` on. */
  solve(layers: number, head: number, share: number, enough: number): number {
    const { each, room, used, count } = this;
    used.fill(0);
    let left = layers;
    let relaxed = head;
    while (left > 0 && relaxed < enough) {
      let best = share;
      let device = -1;
      for (let i = 0; i < count; i++) {
        if (used[i] === 1 || each[i]! >= best) continue;
        best = each[i]!;
        device = i;
      }
      if (best === Infinity) return Infinity;
      const taken = device < 0 ? left : Math.min(left, room[device]!);
      if (device >= 0) used[device] = 1;
      relaxed += taken * best;
      left -= taken;
      this.worth = best;
    }
    return relaxed;
  }

  /** What a device may gain at most on layers that are worth so much. */
  gain(device: number, worth: number): number {
    const { each, room } = this;
    return each[device]! < worth ? (worth - each[device]!) * room[device]! : 0;
  }
}
