/**
 * What reached the internet's door, packet by packet: the judge where a sender makes its own packets and no server
 * would answer. Kept by a program on a packet socket in `internet`, before any rule or routing there.
 */
import { createInterface } from 'node:readline'
import { LabError } from './lab-error.ts'
import { spawnIn } from './network.ts'
import { PATH, REPOSITORY } from './places.ts'

/** A packet that opens something: a lone SYN, or any packet of a protocol but TCP. */
export interface Packet {
  /** Milliseconds since 1970. */
  readonly at: number
  readonly family: 4 | 6
  /** Number of the protocol above IP. */
  readonly protocol: number
  readonly source: string
  readonly destination: string
  readonly sourcePort?: number
  readonly destinationPort?: number
  /** Of ICMP and ICMPv6. */
  readonly icmpType?: number
  /** First bytes above IP, hex. */
  readonly head: string
}

export interface PacketLog {
  /** Everything so far, in order. */
  packets(): Promise<readonly Packet[]>
  stop(): Promise<void>
}

/** @throws LabError `witness-failed` */
export async function startPacketLog(): Promise<PacketLog> {
  const argv = ['/usr/bin/python3', `${REPOSITORY}/test/lab/internet/packet_log.py`]
  const child = spawnIn('internet', 'root', argv, { env: { PATH }, stdio: ['pipe', 'pipe', 'inherit'] })
  const packets: Packet[] = []
  let flushed: (() => void)[] = []
  const ready = Promise.withResolvers<void>()
  const gone = new Promise<void>((done) => {
    child.once('close', () => {
      ready.reject(new LabError('witness-failed', 'the packet log ended', 'See its own message above.'))
      for (const each of flushed) each()
      done()
    })
  })
  createInterface({ input: child.stdout! }).on('line', (line) => {
    if (line === 'ready') ready.resolve()
    else if (line === 'flushed') flushed.shift()?.()
    else packets.push(JSON.parse(line) as Packet)
  })
  child.stdin!.on('error', () => {})
  await ready.promise
  return {
    async packets() {
      await new Promise<void>((done) => {
        flushed.push(done)
        child.stdin!.write('flush\n')
      })
      return packets
    },
    async stop() {
      child.stdin!.end()
      await gone
      flushed = []
    },
  }
}
