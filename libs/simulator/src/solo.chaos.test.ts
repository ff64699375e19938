import { soloPlan } from './testing/chaos-plan.js';
import { chaosSuite } from './testing/chaos-suite.js';

chaosSuite('solo workers', { plan: soloPlan, seeds: 1650, fired: {} });
