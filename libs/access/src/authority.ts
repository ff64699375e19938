import { createHash, createPrivateKey, randomBytes, X509Certificate, type webcrypto } from 'node:crypto';
import { LongtailError, ROLES, SERVER_NAME, type PeerIdentity, type Role } from '@longtail/core';
import { ALGORITHM, exportPrivateKey, generateKeys, importPrivateKey } from './pem.js';
import type { JsonGeneralName } from './x509.js';

const AUTHORITY_MS = 20 * 365 * 24 * 3_600_000;
/** Clocks of different machines need not agree. */
const CLOCK_MS = 24 * 3_600_000;

/** A certificate and its private key, PEM. */
export interface KeyedCertificate {
  readonly certificate: string;
  readonly privateKey: string;
}

/** A certificate that signs others, and nothing else. It is good for 20 years. */
export async function createAuthority(nowMs: number): Promise<KeyedCertificate> {
  const x509 = await import('./x509.js');
  const keys = await generateKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: `CN=Longtail ${randomBytes(4).toString('hex')}`,
    ...validity(nowMs, nowMs + AUTHORITY_MS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
    ],
  });
  return { certificate: certificate.toString('pem'), privateKey: await exportPrivateKey(keys) };
}

/** Signs the certificates of one server and of all that it lets in. */
export class Authority {
  private readonly issued = new WeakSet<X509Certificate>();

  private constructor(
    /** PEM. */
    readonly certificate: string,
    private readonly key: webcrypto.CryptoKey,
    private readonly own: X509Certificate,
  ) {}

  /** LongtailError `storage` when the files are not what `createAuthority` made. */
  static async open({ certificate, privateKey }: KeyedCertificate): Promise<Authority> {
    try {
      const own = new X509Certificate(certificate);
      if (!own.checkPrivateKey(createPrivateKey(privateKey))) throw new Error('the key is of another certificate');
      return new Authority(certificate, await importPrivateKey(privateKey), own);
    } catch (cause) {
      throw new LongtailError("the authority's certificate or key cannot be read", {
        code: 'storage',
        hint: 'Restore them from a backup; without them every node must be enrolled anew.',
        cause,
      });
    }
  }

  /** SHA-256 of the certificate, hexadecimal: what join tokens pin. */
  get fingerprint(): string {
    return fingerprintOf(this.own.raw);
  }

  /** A certificate for the server, with a key that was never written anywhere; followed by the authority's own. */
  async issueServer(nowMs: number): Promise<KeyedCertificate> {
    const keys = await generateKeys();
    const leaf = await this.sign(keys.publicKey, SERVER_NAME, nowMs, nowMs + AUTHORITY_MS, 'serverAuth', { type: 'dns', value: SERVER_NAME });
    return { certificate: `${leaf}\n${this.certificate}`, privateKey: await exportPrivateKey(keys) };
  }

  /**
   * A certificate of that identity for the key of a request, whatever else that asks for. LongtailError `protocol` when the request is
   * none, of another kind of key, or not signed by that key.
   */
  async issue(request: string, identity: PeerIdentity, nowMs: number, expiresAtMs: number): Promise<string> {
    const publicKey = await requestedKey(request);
    return this.sign(publicKey, identity.id, nowMs, expiresAtMs, 'clientAuth', { type: 'url', value: uriOf(identity) });
  }

  /** Who shows the certificate; undefined when this authority did not issue it, or it is not good now. */
  identify(certificate: X509Certificate, nowMs: number): PeerIdentity | undefined {
    if (!this.hasIssued(certificate)) return undefined;
    if (Date.parse(certificate.validFrom) > nowMs || Date.parse(certificate.validTo) < nowMs) return undefined;
    return identityIn(certificate);
  }

  /** A signature takes a tenth of a millisecond, and those of all connections are looked at again and again. */
  private hasIssued(certificate: X509Certificate): boolean {
    if (this.issued.has(certificate)) return true;
    if (!certificate.checkIssued(this.own) || !certificate.verify(this.own.publicKey)) return false;
    this.issued.add(certificate);
    return true;
  }

  private async sign(publicKey: webcrypto.CryptoKey, name: string, nowMs: number, untilMs: number, usage: 'serverAuth' | 'clientAuth', alternativeName: JsonGeneralName): Promise<string> {
    const x509 = await import('./x509.js');
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: serialNumber(),
      subject: `CN=${name}`,
      issuer: this.own.subject,
      ...validity(nowMs, Math.min(untilMs, Date.parse(this.own.validTo))),
      signingAlgorithm: ALGORITHM,
      signingKey: this.key,
      publicKey,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage[usage]]),
        new x509.SubjectAlternativeNameExtension([alternativeName]),
      ],
    });
    return certificate.toString('pem');
  }
}

/** SHA-256 of a certificate's DER, hexadecimal. */
function fingerprintOf(der: Uint8Array): string {
  return createHash('sha256').update(der).digest('hex');
}

async function requestedKey(pem: string): Promise<webcrypto.CryptoKey> {
  const { Pkcs10CertificateRequest } = await import('./x509.js');
  try {
    const request = new Pkcs10CertificateRequest(pem);
    const key = await request.publicKey.export(ALGORITHM, ['verify']);
    if (await request.verify()) return key;
  } catch (cause) {
    throw new LongtailError('the certificate request cannot be read', { code: 'protocol', cause });
  }
  throw new LongtailError('the certificate request is not signed by its key', { code: 'protocol' });
}

/** As SPIFFE writes identities; the authority's signature says of which server. */
function uriOf({ id, role }: PeerIdentity): string {
  return `spiffe://longtail/${role}/${id}`;
}

function identityIn({ subjectAltName }: X509Certificate): PeerIdentity | undefined {
  const [, role, id] = /^URI:spiffe:\/\/longtail\/([a-z]+)\/([0-9a-z-]+)$/.exec(subjectAltName ?? '') ?? [];
  return id !== undefined && (ROLES as readonly string[]).includes(role!) ? { id, role: role as Role } : undefined;
}

function validity(nowMs: number, untilMs: number): { readonly notBefore: Date; readonly notAfter: Date } {
  return { notBefore: new Date(nowMs - CLOCK_MS), notAfter: new Date(untilMs) };
}

/** 128 random bits; the first one 0, as the number is positive, the second one 1, so that no zeros lead. */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x3f) | 0x40;
  return bytes.toString('hex');
}
