import { describeEngine } from './suite.js';

describeEngine('cpu');
