import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LINK_CLASSES, parseLink } from './links.js';

describe('a link on the command line', () => {
  it.each([
    ['up=20mbit,down=100mbit,rtt=40ms', { up: 20e6, down: 100e6, rtt: 40 }],
    ['rtt=1s', { up: Infinity, down: Infinity, rtt: 1000 }],
    [' down=1 Gbit/s , up=64kbit', { up: 64e3, down: 1e9, rtt: 0 }],
    ['cable', LINK_CLASSES.cable],
    ['dsl,rtt=80ms', { ...LINK_CLASSES.dsl, rtt: 80 }],
    ['up=5mbit,rtt=0', { up: 5e6, down: Infinity, rtt: 0 }],
  ])('%j', (text, link) => {
    expect(parseLink(text)).toEqual(link);
  });

  it.each([
    ['', /^"" is none of up=, down=, rtt= or, in the first place, datacenter, lan, fibre/],
    ['up', /^"up" is none of/],
    ['loss=0.1', /^"loss=0.1" is none of/],
    ['up=1mbit,dsl', /^"dsl" is none of/],
    ['up=20MB', /^up must be a rate above 0, like 20mbit, found "20MB"$/],
    ['up=0', /^up must be a rate above 0/],
    ['down=-1mbit', /^down must be a rate above 0, like 100mbit, found "-1mbit"$/],
    ['rtt=40mbit', /^rtt must be a time with its unit, like 40ms, found "40mbit"$/],
    ['up=1mbit,up=2mbit', /^up is given twice$/],
    ['constructor=1', /^"constructor=1" is none of/],
  ])('%j is refused', (text, problem) => {
    expect(() => parseLink(text)).toThrow(problem);
  });

  it('gives rates and a time, or says what is wrong', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z0-9=,. ]{0,30}$/), (text) => {
        try {
          const { up, down, rtt } = parseLink(text);
          expect(up > 0 && down > 0 && rtt >= 0).toBe(true);
        } catch (error) {
          expect(error).toMatchObject({ code: 'usage', hint: expect.stringContaining('up=20mbit') as string });
        }
      }),
    );
  });
});
