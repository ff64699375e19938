import * as zmq from 'zeromq';

/** Of a tensor socket, Z85 (ZeroMQ RFC 32); drawn anew by each process and never stored. */
export interface CurveKeys {
  readonly publicKey: string;
  readonly secretKey: string;
}

export function createCurveKeys(): CurveKeys {
  return zmq.curveKeyPair();
}

const ENDPOINT = 'inproc://zeromq.zap.01';
const VERSION = '1.0';
const DIGITS = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#';

/** Handshakes that wait for their key to be told to this end. */
const MOST_WAITING = 256;

export interface AdmissionOptions {
  readonly context: zmq.Context;
  /** Whether a socket with that public key may connect now. */
  readonly admits: (publicKey: string) => boolean;
  /** How long a key that is not known yet is waited for. */
  readonly patienceMs: number;
}

/** Says which public keys may connect to the CURVE sockets of a context: ZeroMQ asks before it takes a byte (RFC 27, ZAP). */
export class Admission {
  private readonly waiting = new Set<() => void>();

  private constructor(
    private readonly socket: zmq.Router,
    private readonly options: AdmissionOptions,
  ) {
    void this.read();
  }

  static async open(options: AdmissionOptions): Promise<Admission> {
    const socket = new zmq.Router({ context: options.context, linger: 0 });
    await socket.bind(ENDPOINT);
    return new Admission(socket, options);
  }

  /** Other keys may be admitted now. */
  changed(): void {
    for (const look of [...this.waiting]) look();
  }

  close(): void {
    this.socket.close();
    this.waiting.clear();
  }

  private async read(): Promise<void> {
    while (!this.socket.closed) {
      try {
        void this.answer(await this.socket.receive());
      } catch {
        return;
      }
    }
  }

  private async answer([routingId, delimiter, version, request, _domain, _address, _identity, mechanism, key]: Buffer[]): Promise<void> {
    const admitted = mechanism?.toString() === 'CURVE' && key?.length === 32 && (await this.isAdmitted(encodeZ85(key)));
    if (this.socket.closed) return;
    const status = admitted ? ['200', 'OK'] : ['400', 'unknown key'];
    await this.socket.send([routingId!, delimiter!, version ?? VERSION, request!, ...status, '', '']).catch(() => undefined);
  }

  private isAdmitted(key: string): Promise<boolean> {
    const { admits, patienceMs } = this.options;
    if (admits(key)) return Promise.resolve(true);
    if (patienceMs === 0 || this.waiting.size >= MOST_WAITING) return Promise.resolve(false);
    return new Promise((resolve) => {
      const settle = (admitted: boolean): void => {
        clearTimeout(timer);
        this.waiting.delete(look);
        resolve(admitted);
      };
      const look = (): void => {
        if (admits(key)) settle(true);
      };
      const timer = setTimeout(() => settle(false), patienceMs).unref();
      this.waiting.add(look);
    });
  }
}

/** Four bytes as five digits of base 85; the length is a multiple of 4. */
function encodeZ85(bytes: Buffer): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += 4) {
    const value = bytes.readUInt32BE(at);
    for (let power = 85 ** 4; power >= 1; power /= 85) text += DIGITS[Math.floor(value / power) % 85]!;
  }
  return text;
}
