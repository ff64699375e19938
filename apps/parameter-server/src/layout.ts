/** How a server lays jobs out and what it expects, without the server. */
export { plannedLayout } from './planned-layout.js';
