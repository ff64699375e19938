import { expect, test } from 'vitest';
import { checkRole } from './roles.js';

test('whose role does not suffice is told the command, not the method of the protocol, and the roles that do', () => {
  const guest = { id: 'node-7', role: 'node' } as const;
  expect(() => checkRole('listNodes', guest)).toThrow('node-7 is a node here, and nodes takes one of viewer, engineer, admin');
  expect(() => checkRole('launch', guest)).toThrow('node-7 is a node here, and launch takes one of engineer, admin');
  expect(() => checkRole('getServer', guest)).not.toThrow();
});
