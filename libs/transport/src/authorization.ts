import { X509Certificate } from 'node:crypto';
import type { PeerCertificate } from 'node:tls';
import { ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import { LongtailError, type PeerIdentity } from '@longtail/core';
import type { ServerAccess } from './access.js';
import { CONTROL_METHODS } from './control-methods.js';
import { checkRole, MAY_CALL, type ControlMethod } from './roles.js';
import { toStatus } from './status.js';

/** A call as far as it says who makes it. */
interface Call {
  getAuthContext(): { readonly sslPeerCertificate?: PeerCertificate };
}

const METHODS = new Map(Object.entries(CONTROL_METHODS).map(([name, { path }]) => [path, name as ControlMethod]));

/** Who calls. Throws LongtailError `refused` when it is nobody whom the server let in. */
export function identityOf(call: Call, access: ServerAccess): PeerIdentity {
  const { sslPeerCertificate } = call.getAuthContext();
  if (sslPeerCertificate !== undefined) return access.identify(new X509Certificate(sslPeerCertificate.raw));
  throw new LongtailError('the server lets in only who has enrolled: no certificate was shown, or one that is over or of another server', {
    code: 'refused',
    hint: 'On the server: longtail token create; then add --token - and paste what it prints.',
  });
}

/** Before each call, and before anything of its message is read: may this caller make it? */
export function authorization(access: ServerAccess): ServerInterceptor {
  return ({ path }, call) =>
    new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (metadata, proceed) => {
            try {
              const method = METHODS.get(path)!;
              if (MAY_CALL[method] !== 'anyone') checkRole(method, identityOf(call, access));
            } catch (error) {
              call.sendStatus(toStatus(error));
              return;
            }
            proceed(metadata);
          },
        }),
    });
}
