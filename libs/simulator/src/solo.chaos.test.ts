import { soloPlan } from './testing/chaos-plan.js';
import { chaosSuite } from './testing/chaos-suite.js';

chaosSuite('solo workers', { plan: soloPlan, seeds: 1650, fired: { often: 40, seldom: 5 }, only: process.env.LONGTAIL_CHAOS_SEED });
