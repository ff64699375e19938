export { moduleModel } from '../models/module.js';
export { traceModel } from './trace-model.js';
