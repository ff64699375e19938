import { STATE_BLOCK } from '@longtail/core';
import { SCALE_BYTES, type StateKernels } from '../kernels.js';
import { STATE_MAPS, type StateMapName } from '../state-map.js';
import { forEachRun } from './rows.js';
import { STATE_TABLE_BYTES, writeStateTable } from './state-tables.js';
import { operand, type Workspace } from './workspace.js';

export function wasmStateKernels(workspace: Workspace): StateKernels {
  const { wasm } = workspace;
  const placed = new Map<StateMapName, number>();

  /** The address of a map's table, which is written when it is first asked for. */
  function place(name: StateMapName): number {
    let at = placed.get(name);
    if (at !== undefined) return at;
    placed.set(name, (at = workspace.stateTablesAt + placed.size * STATE_TABLE_BYTES));
    writeStateTable(workspace.heap, at, STATE_MAPS[name]);
    return at;
  }

  return {
    encodeState(map, values, bytes) {
      const at = place(map);
      const { zero, leastOfPositive } = STATE_MAPS[map];
      forEachRun('int8', values, bytes, STATE_BLOCK.length, (values, bytes, blocks, length) => {
        const operands = [operand(bytes, 'write', SCALE_BYTES + length), operand(values, 'read', 4 * length)];
        workspace.forEachBlock(blocks, operands, ([out, x], count) => {
          wasm.encodeState(out!, x!, count, length, at, zero, leastOfPositive);
        });
      });
    },

    decodeState(map, bytes, out) {
      const at = place(map);
      forEachRun('int8', out, bytes, STATE_BLOCK.length, (out, bytes, blocks, length) => {
        const operands = [operand(out, 'write', 4 * length), operand(bytes, 'read', SCALE_BYTES + length)];
        workspace.forEachBlock(blocks, operands, ([out, coded], count) => wasm.decodeState(out!, coded!, count, length, at));
      });
    },
  };
}
