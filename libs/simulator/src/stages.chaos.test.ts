import { pipelinePlan } from './testing/chaos-plan.js';
import { chaosSuite } from './testing/chaos-suite.js';

chaosSuite('pipelines', { plan: pipelinePlan, seeds: 450, fired: { often: 5, seldom: 1 }, only: process.env.LONGTAIL_CHAOS_SEED });
