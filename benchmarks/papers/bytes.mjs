// Local steps, bits a value and top-k: bytes sent for the same samples, and the loss that they end with, against every gradient in float32.
import { benchOf } from './bench.mjs';

const BITS = { fp32: 32, int8: 8, int4: 4 };
const DENSE = 'Douillard et al. 2023 (2311.08105), bytes fall by H; 2025 (2501.18512), and by 32/bits';
const SPARSE = 'Sarfi et al. 2025 (2508.15706): density times the bits of a value and of its index';
/** Of a value, and of its place among 4,096. */
const SPARSE_BITS = 2 + 12;
const LOSS = 'the same: without loss, on language models of 10⁸ to 10⁹ parameters';

export default {
  name: 'bytes',
  title: 'Loss against bytes: H × bits × top-k, four workers, 32,000 samples of MNIST',
  async run() {
    const arms = await benchOf('bytes.yaml');
    const [{ summary: base }] = arms;
    const saved = arms.slice(1).map(({ name, settings, summary }) => {
      const steps = Number(settings['sync.localSteps'] ?? 1);
      const density = Number(settings['sync.topK.density'] ?? 1);
      const sparse = density < 1;
      const expected = (steps * 32) / (sparse ? density * SPARSE_BITS : BITS[settings.codec]);
      const ours = base.bytesUpPerNode / summary.bytesUpPerNode;
      const why = sparse
        ? 'places take fewer bits the denser they are, blocks a scale each; 49 kB a node besides'
        : 'a scale a block; and 49 kB a node over the run, whatever is sent';
      return {
        what: `${name}: bytes of fp32 each step over its own`,
        source: sparse ? SPARSE : DENSE,
        expected,
        ours,
        within: sparse ? undefined : 0.15,
        why,
      };
    });
    const losses = arms
      .slice(1)
      .map(({ name, summary }) => ({
        what: `${name}: loss`,
        source: LOSS,
        expected: base.finalLoss,
        ours: summary.finalLoss,
        why: 'after 500 steps, 100 or 25 rounds, of a small model; theirs take 10⁴ steps and more',
      }));
    return [...saved, ...losses];
  },
};
