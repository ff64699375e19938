/** How a server lays jobs out and what it expects, without the server. */
export { exactMakespan } from './exact-makespan.js';
export { plannedLayout } from './planned-layout.js';
