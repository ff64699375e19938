import type { NetworkInterfaceInfo } from 'node:os';
import { expect, it } from 'vitest';
import { reachedAt, reachedHereAt } from './reached-at.js';

const has = (address: string, internal = false) => ({ address, internal, family: address.includes(':') ? 'IPv6' : 'IPv4' }) as NetworkInterfaceInfo;
const interfaces = { lo: [has('127.0.0.1', true), has('::1', true)], eth0: [has('192.168.1.20'), has('fe80::1')], wg0: [has('10.8.0.2')] };

it('says where others reach a server that listens everywhere', () => {
  expect(reachedAt('0.0.0.0:7077', interfaces)).toEqual(['192.168.1.20:7077', '10.8.0.2:7077']);
  expect(reachedAt('0.0.0.0:7077', { lo: interfaces.lo })).toEqual(['127.0.0.1:7077']);
  expect(reachedHereAt('0.0.0.0:7077')).toBe('127.0.0.1:7077');
});

it('says the address of one that listens at one', () => {
  expect(reachedAt('10.0.0.5:80', interfaces)).toEqual(['10.0.0.5:80']);
  expect(reachedHereAt('10.0.0.5:80')).toBe('10.0.0.5:80');
});
