import { createRequire } from 'node:module';
import type koffi from 'koffi';

/** Numbers of Linux's headers, the same on the processors below. */
const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const F_ADD_SEALS = 1_033;
const F_GET_SEALS = 1_034;
const F_SEAL_SEAL = 1;
const F_SEAL_SHRINK = 2;
const F_SEAL_GROW = 4;
const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;
const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;
const MAP_NORESERVE = 0x4000;
const MAP_POPULATE = 0x8000;
const MAP_FAILED = 2n ** 64n - 1n;
const ARCHITECTURES: readonly string[] = ['x64', 'arm64'];

/** Virtual memory of this process: where something is mapped. */
type Address = bigint;

/** What Linux offers for memory between processes and Node does not. Functions say that they failed by undefined or false. */
export interface NativeMemory {
  /** Opens a file that exists in memory only, and only while somebody has it open or mapped. */
  createFile(name: string): number | undefined;
  /** From now on nobody, of whatever process, can change the file's size. */
  fixSize(fd: number): boolean;
  hasFixedSize(fd: number): boolean;
  /** Gives a range of the file memory of its own, so that touching it cannot fail. */
  reserve(fd: number, position: number, bytes: number): boolean;
  /** Gives a range's memory back; it reads as zeros then. */
  discard(fd: number, position: number, bytes: number): void;
  /** `write`: maps memory that was reserved. `read`: what nobody touches takes none. */
  map(fd: number, position: number, bytes: number, access: 'read' | 'write'): Address | undefined;
  unmap(address: Address, bytes: number): void;
  /** Mapped memory as an ArrayBuffer, which must not be used after unmap. */
  view(address: Address, bytes: number): ArrayBuffer;
}

let native: NativeMemory | undefined | 'not tried' = 'not tried';

/** Undefined where there is none: on other systems, or when koffi has no binary for this one. */
export function nativeMemory(): NativeMemory | undefined {
  if (native === 'not tried') native = load();
  return native;
}

function load(): NativeMemory | undefined {
  if (process.platform !== 'linux' || !ARCHITECTURES.includes(process.arch)) return undefined;
  try {
    return bind(createRequire(import.meta.url)('koffi') as typeof koffi);
  } catch {
    return undefined;
  }
}

function bind({ load, view }: typeof koffi): NativeMemory {
  const libc = load(null);
  const memfdCreate = libc.func('int memfd_create(const char *name, unsigned int flags)');
  const fcntl = libc.func('int fcntl(int fd, int command, ...)');
  const fallocate = libc.func('int fallocate(int fd, int mode, int64_t offset, int64_t length)');
  const mmap = libc.func('uintptr_t mmap(uintptr_t address, size_t length, int protection, int flags, int fd, int64_t offset)');
  const munmap = libc.func('int munmap(uintptr_t address, size_t length)');
  return {
    createFile(name) {
      const fd = memfdCreate(name, MFD_CLOEXEC | MFD_ALLOW_SEALING) as number;
      return fd < 0 ? undefined : fd;
    },
    fixSize: (fd) => fcntl(fd, F_ADD_SEALS, 'int', F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) === 0,
    hasFixedSize(fd) {
      const seals = fcntl(fd, F_GET_SEALS) as number;
      return seals >= 0 && (seals & F_SEAL_SHRINK) !== 0;
    },
    reserve: (fd, position, bytes) => fallocate(fd, 0, position, bytes) === 0,
    discard: (fd, position, bytes) => void fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, position, bytes),
    map(fd, position, bytes, access) {
      const [protection, flags] = access === 'read' ? [PROT_READ, MAP_NORESERVE] : [PROT_READ | PROT_WRITE, MAP_POPULATE];
      const address = BigInt(mmap(0, bytes, protection, MAP_SHARED | flags, fd, position) as bigint | number);
      return address === MAP_FAILED ? undefined : address;
    },
    unmap: (address, bytes) => void munmap(address, bytes),
    view: (address, bytes) => view(address, bytes),
  };
}
