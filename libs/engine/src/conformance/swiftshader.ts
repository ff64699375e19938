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
