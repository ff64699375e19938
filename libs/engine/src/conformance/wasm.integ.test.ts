import { describeEngine } from './suite.js';

describeEngine('wasm');
