export { describeData, findPackaged, placeFiles } from './data-files.js';
export * from './epoch-order.js';
export * from './lease-book.js';
export type { OpenDataset, OpenOptions } from './open-dataset.js';
export { openDataset } from './open.js';
export { SampleOrder } from './sample-order.js';
export * from './tokenizer/index.js';
