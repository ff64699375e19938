export * from './generated/messages.js';
export * from './version.js';
