import type { ParameterShard } from '@longtail/core';
import { CHUNKS_A_TURN } from './outgoing-parameters.js';

/** CRC-32C of all parameters of a shard that nobody steps meanwhile; `turn` lets sockets have one. */
export async function checksumInTurns(shard: ParameterShard, chunkLength: number, turn: () => Promise<void>): Promise<number> {
  let checksum: number | undefined;
  for (let offset = 0, chunk = 1; offset < shard.length; offset += chunkLength, chunk++) {
    checksum = shard.checksum(offset, Math.min(chunkLength, shard.length - offset), checksum);
    if (chunk % CHUNKS_A_TURN === 0) await turn();
  }
  return checksum ?? 0;
}
