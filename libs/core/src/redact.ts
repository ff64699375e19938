/** Shorter values are words that a text may hold by chance. */
const LEAST_SECRET = 8;
/** Environment variables whose values are secrets. */
const SECRET_NAME = /SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIAL|PRIVATE_KEY|API_?KEY|ACCESS_KEY|DATABASE_URL/i;

/** What secrets look like, wherever they stand; the first group stays. */
const PATTERNS: readonly RegExp[] = [
  // join tokens
  /(longtail-)[\w-]{40,}/g,
  // keys in PEM, to their end
  /(-----BEGIN [A-Z ]*PRIVATE KEY-----)(?:[^-]|-(?!----))*(?:-----END [A-Z ]*PRIVATE KEY-----)?/g,
  // passwords in URLs
  /(\b[a-z][a-z0-9+.-]*:\/\/[^\s/?#"'\\:@]*:)[^\s/?#"'\\]*(?=@)/gi,
  // signatures and keys in queries of URLs, and in connection strings
  /([?&;\s](?:x-amz-(?:signature|credential|security-token)|x-goog-signature|sig|signature|access_?token|token|secret|password|passwd|pwd|api_?key|access_?key|secret_?access_?key|key)=)[^&;\s"'\\]+/gi,
  // AWS's ids of keys
  /\b((?:AKIA|ASIA)[0-9A-Z]{4})[0-9A-Z]{12}\b/g,
];
const GONE = '…';

export interface Redactor {
  text(text: string): string;
  /** The value as JSON, each text in it redacted. */
  json(value: unknown, indent?: number): string;
}

/**
 * Takes secrets out of what is logged, printed or written into an event log: whatever looks like one, and the values that
 * secret variables of the environment have.
 */
export function redactor(environment: Readonly<Record<string, string | undefined>>): Redactor {
  const named = Object.entries(environment).flatMap(([name, value = '']) => (SECRET_NAME.test(name) && value.length >= LEAST_SECRET ? [value] : []));
  // In JSON a value stands escaped. The longest first: one may be part of another.
  const known = [...new Set(named.flatMap((value) => [value, JSON.stringify(value).slice(1, -1)]))].sort((a, b) => b.length - a.length);
  const redact = (text: string): string => {
    const unknown = known.reduce((rest, value) => rest.replaceAll(value, GONE), text);
    return PATTERNS.reduce((rest, pattern) => rest.replace(pattern, `$1${GONE}`), unknown);
  };
  return { text: redact, json: (value, indent) => JSON.stringify(value, (_, part: unknown) => (typeof part === 'string' ? redact(part) : part), indent) };
}
