import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Where Chromium and Chrome keep the software Vulkan driver that they ship. */
const BROWSER_FOLDERS = ['/usr/lib/chromium', '/usr/lib/chromium-browser', '/opt/google/chrome', '/opt/chromium.org/chromium', '/snap/chromium/current/usr/lib/chromium-browser'];

/**
 * Points the Vulkan loader at SwiftShader where a browser brought it, so that WebGPU is tested on machines without a
 * graphics card. Has to run before Dawn loads, in the main thread: a worker thread has only a copy of the environment.
 */
export function useSwiftShader(): void {
  if (process.env.VK_ICD_FILENAMES !== undefined) return;
  const driver = BROWSER_FOLDERS.map((folder) => join(folder, 'vk_swiftshader_icd.json')).find((path) => existsSync(path));
  if (driver !== undefined) process.env.VK_ICD_FILENAMES = driver;
}

/**
 * Dawn's binding looks for finished work at every turn of the event loop, by `setImmediate`, and so takes a core of which SwiftShader is in
 * need. From now on it looks once a millisecond; its callbacks are native functions, and all others have their turn as before.
 */
export function pollRarely(): void {
  const setTurn = globalThis.setImmediate;
  const rarely = (callback: (...args: unknown[]) => void, ...args: unknown[]): unknown =>
    isNative(callback) ? setTimeout(callback, 1, ...args) : setTurn(callback, ...args);
  globalThis.setImmediate = Object.defineProperties(rarely, Object.getOwnPropertyDescriptors(setTurn)) as typeof setImmediate;
}

function isNative(callback: (...args: unknown[]) => void): boolean {
  return Function.prototype.toString.call(callback).includes('[native code]');
}
