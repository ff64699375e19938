import { constants, type X509Certificate } from 'node:crypto';
import type { AddressInfo, Socket } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';
import { ServerCredentials, type Server } from '@grpc/grpc-js';
import { LongtailError, type PeerIdentity } from '@longtail/core';
import type { ServerAccess } from './access.js';
import { bindFailure } from './address.js';

/** How long a stranger may take to show who it is, or to enrol. */
const STRANGER_MS = 10_000;
/** Connections of strangers: from one address, and in all. */
const MOST_STRANGERS_OF_ADDRESS = 64;
const MOST_STRANGERS = 1_024;
/** For what was written to a peer that is shown the door. */
const FAREWELL_MS = 200;
/** How often it is looked whether those who are in may still be. */
const REVIEW_MS = 60_000;

/**
 * The port of decisions where there are certificates: TLS 1.3, and behind it the gRPC server. Whoever shows no certificate of the server's
 * authority is a stranger: few at a time, for a short time, and no further than to the call that enrols (authorization.ts).
 */
export class SecureGate {
  private readonly strangers = new Map<string, Set<string>>();
  private readonly peers = new Map<TLSSocket, X509Certificate>();
  /** Of each identity. */
  private readonly connections = new Map<string, number>();
  private readonly sockets = new Set<Socket>();
  private readonly tls;
  private readonly injector;
  private readonly review = setInterval(() => this.reviewAll(), REVIEW_MS).unref();

  constructor(
    server: Server,
    private readonly access: ServerAccess,
    private readonly dropped: (reason: string) => void,
    /** Connections of one identity. */
    private readonly mostOfIdentity: number,
  ) {
    this.injector = server.createConnectionInjector(ServerCredentials.createInsecure());
    this.tls = createServer({
      cert: access.certificate,
      key: access.privateKey,
      ca: access.authority,
      requestCert: true,
      // Those without one may enrol.
      rejectUnauthorized: false,
      minVersion: 'TLSv1.3',
      secureOptions: constants.SSL_OP_NO_TICKET,
      ALPNProtocols: ['h2'],
      handshakeTimeout: STRANGER_MS,
      noDelay: true,
    });
    this.tls.on('connection', (socket: Socket) => this.arrived(socket));
    this.tls.on('secureConnection', (socket) => this.greeted(socket));
    this.tls.on('tlsClientError', (error, socket) => {
      // Whoever asks for the authority's certificate hangs up when it has it.
      if ((error as NodeJS.ErrnoException).code !== 'ECONNRESET') this.dropped(`${nameOf(socket)}: ${error.message}`);
      socket.destroy();
    });
  }

  /** Resolves with the port. Throws LongtailError `address-in-use`, `unreachable`. */
  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.tls.once('error', (error) => reject(bindFailure({ host, port }, '--port', error)));
      this.tls.listen(port, host, () => resolve((this.tls.address() as AddressInfo).port));
    });
  }

  /** Ends all connections of those who may no longer be in. */
  reviewAll(): void {
    for (const [socket, certificate] of this.peers) {
      try {
        this.access.identify(certificate);
      } catch (error) {
        this.dropped(`${nameOf(socket)}: ${LongtailError.from(error).message}`);
        setTimeout(() => socket.destroy(), FAREWELL_MS);
      }
    }
  }

  close(): void {
    clearInterval(this.review);
    this.tls.close();
    for (const socket of this.sockets) socket.destroy();
  }

  private arrived(socket: Socket): void {
    const { remoteAddress = '' } = socket;
    const known = this.strangers.get(remoteAddress) ?? new Set();
    const total = [...this.strangers.values()].reduce((sum, { size }) => sum + size, 0);
    if (known.size >= MOST_STRANGERS_OF_ADDRESS || total >= MOST_STRANGERS) {
      socket.destroy();
      return;
    }
    const name = nameOf(socket);
    this.strangers.set(remoteAddress, known.add(name));
    this.sockets.add(socket);
    socket.once('close', () => {
      this.sockets.delete(socket);
      this.known(remoteAddress, name);
    });
  }

  private greeted(socket: TLSSocket): void {
    socket.on('error', () => undefined); // 'close' follows
    const peer = this.peerOf(socket);
    if (peer === undefined) {
      const timer = setTimeout(() => socket.destroy(), STRANGER_MS);
      socket.once('close', () => clearTimeout(timer));
    } else if (!this.admit(socket, peer)) {
      return;
    }
    this.injector.injectConnection(socket);
  }

  private admit(socket: TLSSocket, { certificate, identity }: Peer): boolean {
    const others = this.connections.get(identity.id) ?? 0;
    if (others >= this.mostOfIdentity) {
      this.dropped(`${identity.id} has ${others} connections already`);
      socket.destroy();
      return false;
    }
    this.known(socket.remoteAddress ?? '', nameOf(socket));
    this.peers.set(socket, certificate);
    this.connections.set(identity.id, others + 1);
    socket.once('close', () => {
      this.peers.delete(socket);
      const left = this.connections.get(identity.id)! - 1;
      if (left > 0) this.connections.set(identity.id, left);
      else this.connections.delete(identity.id);
    });
    return true;
  }

  private peerOf(socket: TLSSocket): Peer | undefined {
    const certificate = socket.authorized ? socket.getPeerX509Certificate() : undefined;
    if (certificate === undefined) return undefined;
    try {
      return { certificate, identity: this.access.identify(certificate) };
    } catch {
      return undefined; // told at its first call
    }
  }

  private known(address: string, name: string): void {
    const strangers = this.strangers.get(address);
    strangers?.delete(name);
    if (strangers?.size === 0) this.strangers.delete(address);
  }
}

interface Peer {
  readonly certificate: X509Certificate;
  readonly identity: PeerIdentity;
}

function nameOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress}:${remotePort}`;
}
