// HALoS's environment (Kim et al. 2025, arXiv 2506.04531): sixteen workers in four regions, whose speeds and links are those of examples/env.yaml in
// github.com/utnslab/halos. Time to a loss, synchronous local SGD against what Longtail has.
import { benchOf } from './bench.mjs';

const SYNCHRONOUS = 'synchronous';
const ABSTRACT = 'Kim et al. 2025 (2506.04531), abstract: HALoS over synchronous baselines, at most';
const WHY = {
  expected: 'theirs trains Pythia-70M for 10⁴ steps with asynchronous servers in two tiers; ours a GPT of 13 k parameters for 10³, and links as if it were theirs',
  unreached: 'not reached within the samples of the scenario: at least this',
};

export default {
  name: 'halos',
  title: "HALoS's environment: how many times as fast as synchronous local SGD a loss is reached, 4 × 4 workers",
  async run() {
    const arms = await benchOf('../../examples/scenarios/halos-4x4.yaml', '--engine', 'tensorflow');
    const { summary: base } = arms.find(({ name }) => name === SYNCHRONOUS);
    const baseMs = base.timeToTargetMs ?? base.wallMs;
    return arms
      .filter(({ name, summary }) => name !== SYNCHRONOUS && summary.timeToTargetMs !== undefined)
      .map(({ name, summary }) => ({
        what: `${name}, ×`,
        source: ABSTRACT,
        expected: 7.5,
        ours: baseMs / summary.timeToTargetMs,
        why: base.timeToTargetMs === undefined ? `${WHY.expected}; synchronous: ${WHY.unreached}` : WHY.expected,
      }));
  },
};
