import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** Libraries that TensorFlow opens by name at run time (`xla/tsl/platform/default/dso_loader.cc`), less the driver's own. */
const OPENED_BY_TENSORFLOW = [
  'cudart',
  'cublas',
  'cublasLt',
  'cudnn',
  'cufft',
  'curand',
  'cusolver',
  'cusparse',
  'cupti',
  'nccl',
  'nvrtc',
  'nvJitLink',
];

/** Paths, relative to the engine's folder, of the CUDA libraries to load with the binding. */
export async function cudaLibraries(engine: string): Promise<string[]> {
  const components = await readdir(join(engine, 'nvidia'));
  const listed = await Promise.all(
    components.map(async (component) => {
      const names = await readdir(join(engine, 'nvidia', component, 'lib')).catch(() => []);
      return names.map((name) => `nvidia/${component}/lib/${name}`);
    }),
  );
  return chooseCudaLibraries(listed.flat());
}

/** Of shared libraries such as `nvidia/cudnn/lib/libcudnn.so.9`, those that TensorFlow itself opens. */
export function chooseCudaLibraries(paths: readonly string[]): string[] {
  return OPENED_BY_TENSORFLOW.flatMap((name) => paths.filter((path) => new RegExp(`/lib${name}\\.so\\.\\d+$`).test(path)));
}
