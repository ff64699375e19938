import { atLeast, TENSORFLOW_VERSION, type NativeHost, type NativeVariant } from '@longtail/engine/native';

/** The oldest C library that TensorFlow's Linux wheels run on, from their `manylinux_2_27` tag. */
const MIN_GLIBC_MINOR = 27;

/** What to fetch and how to link on one kind of machine. */
export interface BuildTarget {
  readonly variant: NativeVariant;
  readonly platform: 'linux' | 'darwin';
  /** For pip: `tensorflow-cpu==2.21.0`. */
  readonly requirement: string;
  /** Python platform tags of wheels that run here, the best one first. */
  readonly wheelPlatforms: readonly string[];
  /** Names of the two shared libraries inside the wheel's `tensorflow/`. */
  readonly libraries: readonly string[];
  /** Peak of wheels, pip's temporary copies and unpacked libraries. */
  readonly diskBytes: number;
}

export interface Unsupported {
  readonly message: string;
  readonly fix: string;
}

const OTHER_ENGINES = 'Use another engine: `--engine webgpu` or `--engine wasm`.';

/**
 * The target for a machine, or why there is none.
 *
 * @param glibc version of the C library on Linux; undefined where it is another one (musl).
 */
export function buildTarget(
  variant: NativeVariant,
  host: Pick<NativeHost, 'platform' | 'arch'>,
  glibc: string | undefined,
): BuildTarget | Unsupported {
  const machine = `${host.platform}-${host.arch}`;
  if (variant === 'cuda' && machine !== 'linux-x64') {
    return { message: `TensorFlow has no CUDA build for ${machine}.`, fix: 'Use the webgpu engine: `--engine webgpu`.' };
  }
  if (machine === 'linux-x64' || machine === 'linux-arm64') {
    if (glibc === undefined) return { message: 'TensorFlow needs glibc, and this Linux has another C library (musl).', fix: OTHER_ENGINES };
    if (!atLeast(glibc, 2, MIN_GLIBC_MINOR)) {
      return { message: `TensorFlow needs glibc 2.${MIN_GLIBC_MINOR} or newer; this machine has ${glibc}.`, fix: OTHER_ENGINES };
    }
    return linuxTarget(variant, host.arch === 'x64' ? 'x86_64' : 'aarch64', glibc);
  }
  if (machine === 'darwin-arm64') return macTarget();
  if (host.platform === 'win32') {
    return {
      message: "TensorFlow's Windows wheels hold no library to link to.",
      fix: 'Run Longtail inside WSL 2, or use another engine: `--engine webgpu`.',
    };
  }
  return { message: `TensorFlow ${TENSORFLOW_VERSION} has no wheel for ${machine}.`, fix: OTHER_ENGINES };
}

function linuxTarget(variant: NativeVariant, machine: 'x86_64' | 'aarch64', glibc: string): BuildTarget {
  // `tensorflow-cpu` is published for x86-64; on ARM, `tensorflow` itself is the processor-only build.
  const name = variant === 'cpu' && machine === 'x86_64' ? 'tensorflow-cpu' : 'tensorflow';
  return {
    variant,
    platform: 'linux',
    requirement: `${name}==${TENSORFLOW_VERSION}`,
    wheelPlatforms: manylinuxPlatforms(machine, glibc),
    libraries: ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'],
    diskBytes: variant === 'cuda' ? 12e9 : 2.5e9,
  };
}

function macTarget(): BuildTarget {
  return {
    variant: 'cpu',
    platform: 'darwin',
    requirement: `tensorflow==${TENSORFLOW_VERSION}`,
    wheelPlatforms: ['macosx_12_0_arm64', 'macosx_11_0_arm64'],
    libraries: ['libtensorflow_cc.2.dylib', 'libtensorflow_framework.2.dylib'],
    diskBytes: 2.5e9,
  };
}

/** PEP 600: a `manylinux_2_N` wheel runs with glibc 2.N and newer; 2014, 2010 and 1 are older names of 2.17, 2.12 and 2.5. */
export function manylinuxPlatforms(machine: 'x86_64' | 'aarch64', glibc: string): string[] {
  const minor = Number(glibc.split('.')[1]);
  const platforms: string[] = [];
  for (let n = minor; n >= (machine === 'x86_64' ? 5 : 17); n--) {
    platforms.push(`manylinux_2_${n}_${machine}`);
    if (n === 17) platforms.push(`manylinux2014_${machine}`);
    if (n === 12) platforms.push(`manylinux2010_${machine}`);
    if (n === 5) platforms.push(`manylinux1_${machine}`);
  }
  return platforms;
}
