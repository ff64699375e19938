import { findAdapter } from '../webgpu/adapter.js';
import { describeEngine } from './suite.js';
import { useSwiftShader } from './swiftshader.js';
import { expectUnavailable } from './unavailable.js';

useSwiftShader();
const found = await findAdapter().then(
  () => true,
  () => false,
);

if (found) describeEngine('webgpu', { slow: true });
else expectUnavailable('webgpu');
