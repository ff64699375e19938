/** The part of WebGPU's GPUBuffer that begins to wait for the device. */
export interface Mappable {
  mapAsync(...args: unknown[]): Promise<unknown>;
}

type Callback = (...args: unknown[]) => void;

/** A wait of this length is at most a tenth longer by looking once a millisecond from then on. */
const EAGER_MS = 10;

/**
 * Dawn's binding looks for finished work at every turn of the event loop, by `setImmediate`: that takes a core for as long as the device computes.
 * From now on it does so for the first moments of each wait only (`mapAsync` of `buffers`, GPUBuffer's prototype), then once a millisecond. Its
 * callbacks are native functions; all others have their turn as before. Returns what undoes it.
 */
export function pollRarely(buffers: Mappable): () => void {
  const { setImmediate: setTurn } = globalThis;
  const { mapAsync } = buffers;
  let eagerUntilMs = 0;
  let look: (() => void) | undefined;
  let timer: NodeJS.Timeout | undefined;
  const rarely = (callback: Callback, ...args: unknown[]): unknown => {
    if (!isNative(callback) || performance.now() < eagerUntilMs) return setTurn(callback, ...args);
    look = () => callback(...args);
    return (timer = setTimeout(() => {
      const due = look;
      look = undefined;
      due?.();
    }, 1));
  };
  globalThis.setImmediate = Object.defineProperties(rarely, Object.getOwnPropertyDescriptors(setTurn)) as typeof setImmediate;
  buffers.mapAsync = function (...args) {
    eagerUntilMs = performance.now() + EAGER_MS;
    if (look !== undefined) {
      clearTimeout(timer);
      setTurn(look);
      look = undefined;
    }
    return mapAsync.apply(this, args);
  };
  return () => {
    globalThis.setImmediate = setTurn;
    buffers.mapAsync = mapAsync;
  };
}

function isNative(callback: Callback): boolean {
  return Function.prototype.toString.call(callback).includes('[native code]');
}
