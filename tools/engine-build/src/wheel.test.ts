import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { extractWheel, neededOfNvidia, neededOfTensorflow } from './wheel.js';

describe('neededOfTensorflow', () => {
  const libraries = ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'];
  const needed = neededOfTensorflow({ variant: 'cpu', libraries });

  it.each([
    'tensorflow/libtensorflow_cc.so.2',
    'tensorflow/libtensorflow_framework.so.2',
    'tensorflow/include/tensorflow/c/eager/c_api.h',
    'tensorflow/include/xla/tsl/c/tsl_status.h',
    'tensorflow/include/tensorflow/core/common_runtime/next_pluggable_device/c/tf_rendezvous_c_api.h',
    'tensorflow_cpu-2.21.0.dist-info/METADATA',
  ])('takes %s', (member) => expect(needed(member)).toBe(true));

  it.each([
    'tensorflow/python/lib_pywrap_tensorflow_common.so',
    'tensorflow/include/Eigen/Core',
    'tensorflow/include/tensorflow/compiler/mlir/tensorflow/ir/tf_all_ops.h.inc',
    'tensorflow/__init__.py',
    'tensorflow/cuda/nvvm/libdevice/libdevice.10.bc',
  ])('leaves %s', (member) => expect(needed(member)).toBe(false));

  it('takes libdevice for CUDA', () => {
    expect(neededOfTensorflow({ variant: 'cuda', libraries })('tensorflow/cuda/nvvm/libdevice/libdevice.10.bc')).toBe(true);
  });
});

describe('neededOfNvidia', () => {
  it.each([
    ['nvidia/cudnn/lib/libcudnn.so.9', true],
    ['nvidia/cuda_nvcc/bin/ptxas', true],
    ['nvidia/cuda_nvcc/nvvm/libdevice/libdevice.10.bc', true],
    ['nvidia/cudnn/include/cudnn.h', false],
    ['nvidia/cublas/lib/__init__.py', false],
    ['nvidia/__init__.py', false],
    ['nvidia_cudnn_cu12-9.3.0.75.dist-info/METADATA', false],
  ])('%s: %s', (member, expected) => expect(neededOfNvidia(member)).toBe(expected));
});

describe('extractWheel', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'longtail-wheel-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const wheel = (members: Record<string, { text: string; mode: number }>): string => {
    const path = join(folder, 'test.whl');
    writeFileSync(path, zip(members));
    return path;
  };

  it('unpacks what is needed, with execute bits', async () => {
    const path = wheel({
      'a/tool': { text: 'run '.repeat(1000), mode: 0o755 },
      'a/data': { text: 'data', mode: 0o644 },
      'b/rest': { text: 'rest', mode: 0o644 },
    });
    const extracted = await extractWheel(path, folder, (member) => member.startsWith('a/'));
    expect(extracted).toEqual(['a/tool', 'a/data']);
    expect(readFileSync(join(folder, 'a/tool'), 'utf8')).toBe('run '.repeat(1000));
    expect(statSync(join(folder, 'a/tool')).mode & 0o111).not.toBe(0);
    expect(statSync(join(folder, 'a/data')).mode & 0o111).toBe(0);
  });

  it('refuses a member that would leave the folder', async () => {
    const path = wheel({ '../outside': { text: 'x', mode: 0o644 } });
    await expect(extractWheel(path, folder, () => true)).rejects.toThrow(/relative path/);
  });

  it('stops on abort', async () => {
    const path = wheel({ a: { text: 'x', mode: 0o644 } });
    await expect(extractWheel(path, folder, () => true, AbortSignal.abort())).rejects.toThrow();
  });
});

/** A zip as APPNOTE.TXT has it, less the CRCs: local headers with deflated data, the central directory, its end record. */
function zip(members: Record<string, { text: string; mode: number }>): Buffer {
  const locals: Buffer[] = [];
  const centrals: Buffer[] = [];
  let offset = 0;
  for (const [name, { text, mode }] of Object.entries(members)) {
    const data = deflateRawSync(text);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(8, 4);
    common.writeUInt32LE(data.length, 14);
    common.writeUInt32LE(Buffer.byteLength(text), 18);
    common.writeUInt16LE(Buffer.byteLength(name), 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), common, Buffer.from(name), data]);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE((mode << 16) >>> 0, 6);
    tail.writeUInt32LE(offset, 10);
    const madeOnUnix = Buffer.from([20, 3]);
    centrals.push(Buffer.concat([Buffer.from('PK\x01\x02'), madeOnUnix, common, tail, Buffer.from(name)]));
    locals.push(local);
    offset += local.length;
  }
  const directory = Buffer.concat(centrals);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 0, 'latin1');
  end.writeUInt16LE(centrals.length, 8);
  end.writeUInt16LE(centrals.length, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...locals, directory, end]);
}
