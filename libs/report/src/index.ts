export { accuracyOf, comparePredictions, kendallTau, type Prediction } from './predictions.js';
export { writeReport } from './write-report.js';
