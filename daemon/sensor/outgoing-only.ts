/**
 * Narrows a capture to what the machine sends: three instructions before the filter that libpcap compiled
 * (linux/filter.h).
 *
 * Not by pcap's own word `outbound`: libpcap runs a filter itself over the first block that comes after it was set,
 * where that word matches nothing, so that the first packets of every capture would be lost (measured, 1.10.3).
 */
import { endianness } from 'node:os'
import koffi from 'koffi'
import { callFailed, int, libc, SOL_SOCKET } from '../../firewall/libc.ts'

const SO_ATTACH_FILTER = 26
/** The same number, read. */
const SO_GET_FILTER = 26
/** struct sock_filter: code 2, jump if true 1, jump if false 1, value 4; native-endian. */
const INSTRUCTION = 8
const BPF_MAXINSNS = 4096
const BPF_LD_B_ABS = 0x30
const BPF_JMP_JEQ_K = 0x15
const BPF_RET_K = 0x06
const SKF_AD_PKTTYPE = -0x1000 + 4
const PACKET_OUTGOING = 4
const LITTLE = endianness() === 'LE'
const REMEDY = 'run the sensor on a kernel that this gateway supports'

/**
 * @param fd the capture's packet socket
 * @throws FirewallError `system-call`
 */
export function keepOutgoingOnly(fd: number): void {
  const compiled = Buffer.alloc(BPF_MAXINSNS * INSTRUCTION)
  const count = int(BPF_MAXINSNS)
  // Lengths of filters are numbers of instructions.
  const read = libc.getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, compiled, count)
  if (read < 0) throw callFailed('getsockopt SO_GET_FILTER', read, REMEDY)
  const length = LITTLE ? count.readInt32LE(0) : count.readInt32BE(0)
  const filter = outgoingBefore(compiled.subarray(0, length * INSTRUCTION))
  // struct sock_fprog: a number of instructions, padding, their address.
  const program = Buffer.alloc(16)
  const address = koffi.address(filter)
  if (LITTLE) {
    program.writeUInt16LE(filter.length / INSTRUCTION, 0)
    program.writeBigUInt64LE(address, 8)
  } else {
    program.writeUInt16BE(filter.length / INSTRUCTION, 0)
    program.writeBigUInt64BE(address, 8)
  }
  const set = libc.setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, program, program.length)
  if (set < 0) throw callFailed('setsockopt SO_ATTACH_FILTER', set, REMEDY)
}

/** The program that runs another one on outgoing packets and refuses the rest. Jumps are relative: it stays as it is. */
function outgoingBefore(program: Buffer): Buffer {
  const before = Buffer.concat([
    instruction(BPF_LD_B_ABS, 0, 0, SKF_AD_PKTTYPE),
    instruction(BPF_JMP_JEQ_K, 1, 0, PACKET_OUTGOING),
    instruction(BPF_RET_K, 0, 0, 0),
  ])
  // Memory of its own, that no garbage collection moves while the kernel reads it.
  const whole = Buffer.allocUnsafeSlow(before.length + program.length)
  before.copy(whole)
  program.copy(whole, before.length)
  return whole
}

function instruction(code: number, whenTrue: number, whenFalse: number, value: number): Buffer {
  const bytes = Buffer.alloc(INSTRUCTION)
  if (LITTLE) bytes.writeUInt16LE(code, 0)
  else bytes.writeUInt16BE(code, 0)
  bytes[2] = whenTrue
  bytes[3] = whenFalse
  if (LITTLE) bytes.writeInt32LE(value, 4)
  else bytes.writeInt32BE(value, 4)
  return bytes
}
