/** Validation losses of `golden-curves.integ.test.ts`: what each strategy learns with real models. */
export const golden = {
  cnn: {
    bsp: [2.05671, 1.76097, 1.69855],
    ssp: [2.1118, 1.92973, 1.89811],
    asp: [2.1362, 1.98375, 1.96052],
    diloco: [2.19213, 2.16058, 2.13615],
    'sparse-diloco': [2.20573, 2.16199, 2.15123],
    'streaming-diloco': [2.18518, 2.1513, 2.15076],
  },
  gpt: {
    bsp: [4.04612, 3.42279, 3.36345],
    ssp: [4.10407, 3.52412, 3.46592],
    asp: [4.10618, 3.48851, 3.4282],
    diloco: [4.74979, 3.83252, 3.40206],
    'sparse-diloco': [5.44234, 5.12832, 4.71942],
    'streaming-diloco': [4.52628, 3.56459, 3.24296],
  },
};
