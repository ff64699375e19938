import { describe, expect, it } from 'vitest';
import { requirementsOfExtra } from './requirements.js';

const METADATA = `Metadata-Version: 2.4
Name: tensorflow
Requires-Dist: absl-py>=1.0.0
Provides-Extra: and-cuda
Requires-Dist: nvidia-cublas-cu12<13.0,>=12.5.3.2; extra == "and-cuda"
Requires-Dist: nvidia-cudnn-cu12 (<10.0,>=9.3.0.75) ; extra == 'and-cuda'
Requires-Dist: nvidia-nccl-cu12<3.0,>=2.27.7; platform_machine == "x86_64" and extra == "and-cuda"
Requires-Dist: tensorflow-io-gcs-filesystem>=0.23.1; (sys_platform != "win32") and extra == "gcs-filesystem"

Requires-Dist: not-a-header; extra == "and-cuda"
`;

describe('requirementsOfExtra', () => {
  it('gives the requirements of one extra in the form that pip takes', () => {
    expect(requirementsOfExtra(METADATA, 'and-cuda')).toEqual([
      'nvidia-cublas-cu12<13.0,>=12.5.3.2',
      'nvidia-cudnn-cu12<10.0,>=9.3.0.75',
      'nvidia-nccl-cu12<3.0,>=2.27.7',
    ]);
  });

  it('is the same with Windows line ends', () => {
    expect(requirementsOfExtra(METADATA.replaceAll('\n', '\r\n'), 'and-cuda')).toEqual(requirementsOfExtra(METADATA, 'and-cuda'));
  });

  it('is empty for an extra that is not there', () => {
    expect(requirementsOfExtra(METADATA, 'and-rocm')).toEqual([]);
  });
});
