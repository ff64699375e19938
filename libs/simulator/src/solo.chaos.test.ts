import { soloPlan } from './testing/chaos-plan.js';
import { chaosSuite } from './testing/chaos-suite.js';

chaosSuite('solo workers', { plan: soloPlan, seeds: 1600, fired: { often: 25, seldom: 3 }, only: process.env.LONGTAIL_CHAOS_SEED });
