import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { redactor } from './redact.js';

const letters = (alphabet: string, length: number): fc.Arbitrary<string> => fc.array(fc.constantFrom(...alphabet), { minLength: length, maxLength: length }).map((all) => all.join(''));
const ALPHANUMERIC = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';
const word = letters(ALPHANUMERIC, 24);

/** A text with a secret in it, and the part that nobody may read. */
const secrets: Readonly<Record<string, fc.Arbitrary<{ readonly text: string; readonly secret: string }>>> = {
  'a join token': letters(`${ALPHANUMERIC}-_`, 78).map((secret) => ({ text: `longtail-${secret}`, secret })),
  'a private key': word.map((secret) => ({ text: `-----BEGIN PRIVATE KEY-----\n${secret}\n${secret}=\n-----END PRIVATE KEY-----\n`, secret })),
  'half a private key': word.map((secret) => ({ text: `-----BEGIN EC PRIVATE KEY-----\n${secret}`, secret })),
  'the password of a database': word.map((secret) => ({ text: `postgresql://longtail:${secret}@db.example:5432/runs`, secret })),
  'a password with an odd sign': word.map((secret) => ({ text: `postgresql://longtail:${secret}@${secret}@db.example/runs`, secret })),
  'a password without a user': word.map((secret) => ({ text: `redis://:${secret}@cache`, secret })),
  'a signed URL': word.map((secret) => ({ text: `https://bucket.s3.amazonaws.com/x.csv?X-Amz-Expires=60&X-Amz-Signature=${secret}&x=1`, secret })),
  'a token in a URL': word.map((secret) => ({ text: `https://example.org/x.csv?token=${secret}`, secret })),
  'a connection string': word.map((secret) => ({ text: `host=db user=me password=${secret} port=5432`, secret })),
  'an AWS key': letters('ABCDEFGHIJKLMNOPQRSTUVWXYZ234567', 12).map((secret) => ({ text: `AKIAABCD${secret}`, secret })),
};

describe.each(Object.entries(secrets))('%s', (_, arbitrary) => {
  test('is nowhere in what is left, in text and in JSON', () => {
    fc.assert(
      fc.property(fc.string(), arbitrary, fc.string(), (before, { text, secret }, after) => {
        const around = `${before} ${text} ${after}`;
        const redact = redactor({});
        expect(redact.text(around)).not.toContain(secret);
        const nested = { event: 'error', error: { message: around, hint: before } };
        const json = redact.json(nested);
        expect(json).not.toContain(secret);
        // What stands beside it stays, and the line can be read again.
        expect((JSON.parse(json) as typeof nested).event).toBe('error');
      }),
    );
  });
});

test('values of secret variables are taken out wherever they are, escaped or not', () => {
  fc.assert(
    fc.property(fc.string({ minLength: 8, maxLength: 40 }), fc.string(), (secret, around) => {
      const redact = redactor({ AWS_SECRET_ACCESS_KEY: secret, HOME: around });
      expect(redact.text(`${around}${secret}${around}`).includes(secret)).toBe(false);
      expect(redact.text(JSON.stringify(`<${secret}>`))).toBe('"<…>"');
      expect(JSON.parse(redact.json([`<${secret}>`]))).toEqual(['<…>']);
    }),
  );
});

test.each([
  'training 21.6k parameters on 3 workers, 60.0k samples; tokens 4096',
  'longtail join 10.0.0.5:7077 --token longtail-AQ…',
  '{"event":"planned","where":"job.yaml:12:3 model.layers","model":"gpt","key":"value"}',
  'https://example.org/data.csv?version=3&part=1',
  'listening on 127.0.0.1:7077; node n1-8f2873d6, sha256 ba891046',
])('%s stays as it is', (text) => {
  expect(redactor({ LONGTAIL_TOKEN: '', SHORT_TOKEN: 'job', PATH: '/usr/bin' }).text(text)).toBe(text);
});
