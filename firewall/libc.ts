/**
 * The few system calls that Node lacks, through koffi, on Linux. Each gives what the call gives, or the
 * negated errno: whether that is an error is for the caller to say.
 */
import { getSystemErrorName } from 'node:util'
import koffi from 'koffi'
import { FirewallError } from './errors.ts'

// The process's own symbols: glibc and musl have different file names.
const library = koffi.load(null)
const bind = <Arguments extends (number | Buffer)[]>(prototype: string) => {
  const call = library.func(prototype) as (...args: Arguments) => number
  return (...args: Arguments): number => {
    const result = call(...args)
    return result === -1 ? -koffi.errno() : result
  }
}

export const libc = {
  socket: bind<[domain: number, type: number, protocol: number]>('int socket(int, int, int)'),
  bind: bind<[fd: number, address: Buffer, size: number]>('int bind(int, const void *, uint32_t)'),
  connect: bind<[fd: number, address: Buffer, size: number]>('int connect(int, const void *, uint32_t)'),
  listen: bind<[fd: number, backlog: number]>('int listen(int, int)'),
  close: bind<[fd: number]>('int close(int)'),
  setsockopt: bind<[fd: number, level: number, option: number, value: Buffer, size: number]>(
    'int setsockopt(int, int, int, const void *, uint32_t)',
  ),
  getsockopt: bind<[fd: number, level: number, option: number, value: Buffer, size: Buffer]>(
    'int getsockopt(int, int, int, void *, void *)',
  ),
  send: bind<[fd: number, bytes: Buffer, size: number, flags: number]>(
    'intptr_t send(int, const void *, size_t, int)',
  ),
  recv: bind<[fd: number, bytes: Buffer, size: number, flags: number]>(
    'intptr_t recv(int, void *, size_t, int)',
  ),
  recvmsg: bind<[fd: number, message: Buffer, flags: number]>('intptr_t recvmsg(int, void *, int)'),
  sendmsg: bind<[fd: number, message: Buffer, flags: number]>('intptr_t sendmsg(int, const void *, int)'),
}

/** Gives what the call gave, or what went wrong with making it. */
type Done = (error: unknown, result: number) => void

const poll = library.func('int poll(void *, unsigned long, int)') as unknown as {
  async(descriptors: Buffer, count: number, timeoutMs: number, done: Done): void
}

/** poll(2) in a thread of libuv's pool. @param descriptors an array of struct pollfd, which must live until then */
export const pollLater = (descriptors: Buffer, count: number, timeoutMs: number, done: Done): void =>
  poll.async(descriptors, count, timeoutMs, done)

const nameOfDevice = library.func('void *if_indextoname(uint32_t, void *)') as (
  index: number,
  name: Buffer,
) => unknown

const mapMemory = library.func('void *mmap(void *, size_t, int, int, int, int64_t)') as unknown as (
  address: null,
  size: number,
  protection: number,
  flags: number,
  fd: number,
  offset: number,
) => unknown

/** Address of fresh, zeroed memory that begins with a page and stays mapped until the process ends. */
export function mapPages(size: number): bigint {
  const PROT_READ_WRITE = 3
  const MAP_PRIVATE_ANONYMOUS = 0x22
  const address = koffi.address(mapMemory(null, size, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0))
  // MAP_FAILED is the highest address.
  if (address < 2n ** 63n) return address
  throw callFailed('mmap', -koffi.errno(), 'free memory and try again')
}

const indexOfDevice = library.func('uint32_t if_nametoindex(const char *)') as (name: string) => number

/** Index of the network device of that name, `undefined` where there is none. */
export const deviceIndex = (name: string): number | undefined => indexOfDevice(name) || undefined

/** Name of the network device with that index, `undefined` where there is none (any more). */
export function deviceName(index: number): string | undefined {
  // IF_NAMESIZE
  const name = Buffer.alloc(16)
  if (!nameOfDevice(index, name)) return undefined
  return name.toString('latin1', 0, name.indexOf(0))
}

/** Constants of Linux's generic ABI (x86-64, arm64, riscv64), by their names there. */
export const AF_UNIX = 1
export const AF_INET = 2
export const AF_INET6 = 10
export const SOCK_STREAM = 1
export const SOCK_DGRAM = 2
export const SOCK_CLOEXEC = 0o2000000
export const SOL_SOCKET = 1

/** The native int that socket options take. */
export function int(value: number): Buffer {
  return Buffer.from(Int32Array.of(value).buffer)
}

/** The error of a call that gave a negated errno. */
export function callFailed(call: string, result: number, remedy: string): FirewallError {
  return new FirewallError('system-call', `${call}: ${getSystemErrorName(result)}`, remedy)
}
