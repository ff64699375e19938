import { findBinding } from '../tensorflow/binding.js';
import { describeEngine } from './suite.js';
import { expectUnavailable } from './unavailable.js';

if (findBinding() === undefined) expectUnavailable('tensorflow');
else describeEngine('tensorflow');
