export { createPlan } from './create-plan.js';
export type { PlanOptions } from './create-plan.js';
export { CostModel } from './layout.js';
export type { GroupLayout, StageLayout } from './layout.js';
export { estimateMakespan } from './makespan.js';
export { planFor } from './plan-for.js';
export { considerReplan } from './replan.js';
export type { ReplanDecision, ReplanInput } from './replan.js';
