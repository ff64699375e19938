import { ALGORITHM, exportPrivateKey, generateKeys } from './pem.js';

/** A new key and what asks for its certificate, PEM: the key stays where it was made. */
export async function requestCertificate(): Promise<{ readonly request: string; readonly privateKey: string }> {
  const { Pkcs10CertificateRequestGenerator } = await import('./x509.js');
  const keys = await generateKeys();
  const request = await Pkcs10CertificateRequestGenerator.create({ name: 'CN=longtail', keys, signingAlgorithm: ALGORITHM });
  return { request: request.toString('pem'), privateKey: await exportPrivateKey(keys) };
}
