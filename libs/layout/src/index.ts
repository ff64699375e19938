export { planWithSync } from './auto-plan.js';
export { codingTimes } from './coding-times.js';
export { exactMakespan } from './exact-makespan.js';
export { planOwnLayout, requireWholeGroups } from './given-layout.js';
export { isSearchedFor, plannedLayout } from './planned-layout.js';
