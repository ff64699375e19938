/** Validation losses of `golden-curves.integ.test.ts`: what each strategy learns with real models. */
export const golden = {
  cnn: {
    bsp: [2.05671, 1.76097, 1.69855],
    ssp: [2.11447, 1.9714, 1.95355],
    asp: [2.11447, 1.9714, 1.95355],
    diloco: [2.19213, 2.16058, 2.13615],
    'sparse-diloco': [2.20573, 2.16199, 2.15123],
    'streaming-diloco': [2.17959, 2.111922, 2.047108],
  },
  gpt: {
    bsp: [4.04612, 3.42279, 3.36345],
    ssp: [4.12316, 3.49494, 3.44037],
    asp: [4.12316, 3.49494, 3.44037],
    diloco: [4.74979, 3.83252, 3.40206],
    'sparse-diloco': [5.44234, 5.12832, 4.71942],
    'streaming-diloco': [4.218631, 3.265518, 3.142576],
  },
};
