export * from './epoch-order.js';
export * from './lease-book.js';
