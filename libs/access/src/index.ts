export { AccessBook } from './access-book.js';
export { Authority, createAuthority, type KeyedCertificate } from './authority.js';
export { readCredentials, type Credentials } from './credentials.js';
export { requestCertificate } from './enrolment.js';
export { currentIdentity, enrolIdentity, keepCertificate, type IssuedCertificate } from './identity.js';
export { formatJoinToken, parseJoinToken, type JoinToken } from './join-token.js';
export { readKept, writeKept, type Keep } from './kept.js';
export { Roll } from './roll.js';
