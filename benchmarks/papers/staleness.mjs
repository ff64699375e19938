// Waiting for all workers, for the first K, or for none: time of a step and staleness, by order statistics, against Longtail's strategies in
// virtual time. Dutta et al. 2018 (1803.01113) give the time of K-sync SGD as the K-th of P times, here uniform; backup workers are those of
// Chen et al. 2016 (1604.00981), a bound on staleness that of Ho et al. 2013 (SSP).
import { benchOf } from './bench.mjs';

/** As in staleness.yaml. */
const [WORKERS, STEP_MS, JITTER, BATCH] = [8, 80, 0.5, 64];

/** Mean of the K-th of P times that are uniform in STEP_MS ± JITTER. */
const kthMs = (k) => STEP_MS * (1 - JITTER + (2 * JITTER * k) / (WORKERS + 1));

const K_SYNC = 'Dutta et al. 2018 (1803.01113): a step of K-sync takes the K-th of P times';
const K_LOST = 'Chen et al. 2016 (1604.00981): of each step the work of the P−K backups is dropped';
const ASYNC = 'Dutta et al. 2018: asynchronous, equal workers commit in turn, P−1 versions behind each other and never waiting';
const BOUND = 'Ho et al. 2013 (SSP): between the two';

export default {
  name: 'staleness',
  title: `Waiting against staleness: ${WORKERS} equal workers, steps of ${STEP_MS} ms ± ${100 * JITTER} %`,
  async run() {
    const arms = await benchOf('staleness.yaml');
    const throughput = (1000 * BATCH) / STEP_MS;
    return arms.flatMap(({ name, settings, summary }) => {
      const { wallMs, rounds, samples, lostSamples, staleness, samplesPerSecond } = summary;
      const rate = { what: `${name}, samples/s`, ours: samplesPerSecond };
      switch (settings.strategy) {
        case 'bsp': {
          const k = Math.round(WORKERS * Number(settings['sync.quorum']));
          return [
            {
              what: `${name}, ms a step`,
              source: K_SYNC,
              expected: kthMs(k),
              ours: wallMs / rounds,
              within: 0.05,
              why: 'with 1 ms of overhead and 1 ms of round trip a step',
            },
            {
              what: `${name}, part of the samples computed that is lost`,
              source: K_LOST,
              expected: 1 - k / WORKERS,
              ours: lostSamples / (samples + lostSamples),
              within: 0.02,
            },
          ];
        }
        case 'asp':
          return [
            { what: `${name}, versions behind`, source: ASYNC, expected: WORKERS - 1, ours: staleness, within: 0.02 },
            { ...rate, source: ASYNC, expected: throughput, within: 0.05, why: 'with 1 ms of overhead and 1 ms of round trip a step' },
          ];
        default:
          return [
            {
              ...rate,
              source: BOUND,
              expected: [(1000 * BATCH) / kthMs(WORKERS), throughput],
              why: `mean staleness ${staleness.toFixed(2)}`,
            },
          ];
      }
    });
  },
};
