import { describe, expect, it } from 'vitest';
import { judgeCards, parseCards } from './cuda.js';
import { chooseCudaLibraries } from './nvidia.js';

describe('parseCards', () => {
  it('reads one card a line', () => {
    expect(parseCards('NVIDIA GeForce RTX 4090, 550.54.14, 8.9, 24564\nNVIDIA GeForce GTX 1660, 550.54.14, 7.5, 6144\n')).toEqual([
      { name: 'NVIDIA GeForce RTX 4090', driver: '550.54.14', computeCapability: 8.9, memoryMiB: 24564 },
      { name: 'NVIDIA GeForce GTX 1660', driver: '550.54.14', computeCapability: 7.5, memoryMiB: 6144 },
    ]);
  });

  it('leaves out what is not a card', () => {
    expect(parseCards('No devices were found\n')).toEqual([]);
  });
});

describe('judgeCards', () => {
  it('is absent without cards', () => {
    expect(judgeCards([])).toEqual({ status: 'absent' });
  });

  it('refuses a driver before CUDA 12 and says which is needed', () => {
    const finding = judgeCards(parseCards('NVIDIA GeForce RTX 3060, 470.82.01, 8.6, 12288'));
    expect(finding).toMatchObject({ status: 'unusable', fix: 'Update the NVIDIA driver to 525 or newer.' });
  });

  it('refuses cards older than Pascal', () => {
    expect(judgeCards(parseCards('NVIDIA GeForce GTX 980, 550.54.14, 5.2, 4096'))).toMatchObject({ status: 'unusable' });
  });

  it('takes the new card beside an old one', () => {
    const finding = judgeCards(parseCards('NVIDIA GeForce GTX 980, 550.54.14, 5.2, 4096\nNVIDIA GeForce GTX 1660, 550.54.14, 7.5, 6144'));
    expect(finding).toMatchObject({ status: 'usable', cards: [{ name: 'NVIDIA GeForce GTX 1660' }] });
  });
});

describe('chooseCudaLibraries', () => {
  it('takes what TensorFlow opens, each under its versioned name', () => {
    const paths = [
      'nvidia/cublas/lib/libcublas.so.12',
      'nvidia/cublas/lib/libcublasLt.so.12',
      'nvidia/cublas/lib/libnvblas.so.12',
      'nvidia/cuda_runtime/lib/libcudart.so.12',
      'nvidia/cudnn/lib/libcudnn.so.9',
      'nvidia/cudnn/lib/libcudnn_ops.so.9',
      'nvidia/cusolver/lib/libcusolverMg.so.11',
      'nvidia/nccl/lib/libnccl.so.2',
      'nvidia/nccl/lib/libnccl.so',
    ];
    expect(chooseCudaLibraries(paths)).toEqual([
      'nvidia/cuda_runtime/lib/libcudart.so.12',
      'nvidia/cublas/lib/libcublas.so.12',
      'nvidia/cublas/lib/libcublasLt.so.12',
      'nvidia/cudnn/lib/libcudnn.so.9',
      'nvidia/nccl/lib/libnccl.so.2',
    ]);
  });
});
