import { describe, expect, it } from 'vitest';
import { compileCommand, linkCommand, type AddonBuild } from './compiler.js';

const a = { path: '/src/a.cc', object: 'a', flags: [] };
const build: AddonBuild = {
  platform: 'linux',
  sources: [a, { path: '/src/b.cc', object: 'b', flags: [] }],
  includeFolders: ['/engine/tensorflow/include', '/napi'],
  workFolder: '/objects',
  libraries: ['tensorflow/libtensorflow_cc.so.2', 'tensorflow/libtensorflow_framework.so.2', 'nvidia/cudnn/lib/libcudnn.so.9'],
  output: '/engine/tfjs_binding.node',
};

describe('compileCommand', () => {
  it('compiles one source for Node-API 8', () => {
    const args = compileCommand(a, build);
    expect(args).toEqual(
      expect.arrayContaining(['-c', '-fPIC', '-DNAPI_VERSION=8', '-I/engine/tensorflow/include', '-I/napi', '/src/a.cc']),
    );
    expect(args.slice(-2)).toEqual(['-o', '/objects/a.o']);
  });

  it('compiles a source again with other flags into another object', () => {
    const args = compileCommand({ ...a, object: 'a-fast', flags: ['-O3'] }, build);
    expect(args.indexOf('-O3')).toBeGreaterThan(args.indexOf('-O2'));
    expect(args.at(-1)).toBe('/objects/a-fast.o');
  });
});

describe('linkCommand', () => {
  it('finds the libraries relative to the addon, each folder once', () => {
    const rpaths = linkCommand(build).filter((arg) => arg.includes('rpath'));
    expect(rpaths).toEqual(['-Wl,-rpath,$ORIGIN/tensorflow', '-Wl,-rpath,$ORIGIN/nvidia/cudnn/lib']);
  });

  it('links every library by name on Linux, used or not', () => {
    const args = linkCommand(build);
    const after = args.slice(args.indexOf('-Wl,--no-as-needed') + 1);
    expect(after.slice(0, 3)).toEqual([
      '/objects/libtensorflow_cc.so.2',
      '/objects/libtensorflow_framework.so.2',
      '/objects/libcudnn.so.9',
    ]);
    expect(args.slice(-2)).toEqual(['-o', '/engine/tfjs_binding.node']);
  });

  it('names no folder of the building machine but the objects', () => {
    expect(linkCommand(build).slice(0, -1).join(' ')).not.toContain('/engine');
  });

  it('links the real libraries of a bundle on macOS', () => {
    const args = linkCommand({ ...build, platform: 'darwin', libraries: ['tensorflow/libtensorflow_cc.2.dylib'] });
    expect(args).toEqual(
      expect.arrayContaining(['-bundle', '/engine/tensorflow/libtensorflow_cc.2.dylib', '-Wl,-rpath,@loader_path/tensorflow']),
    );
  });
});
