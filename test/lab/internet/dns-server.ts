import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import type { Site } from '../addresses.ts'
import { ByteReader } from './byte-reader.ts'
import { type Addresses, addressBytes, answerQuery } from './dns-answer.ts'
import type { Families } from './messages.ts'

/** The laboratory's only resolver: it knows its sites, and everything else doesn't exist. */
export class DnsServer {
  readonly #names = new Map<string, Addresses>()
  readonly #sites: readonly Site[]

  constructor(sites: readonly Site[]) {
    this.#sites = sites
    for (const site of sites) this.resolve(site.name, 'both')
  }

  /** Says from now on which addresses a site's name has. */
  resolve(name: string, families: Families): void {
    const site = this.#sites.find((each) => each.name === name)
    if (site === undefined) throw new Error(`no site of the laboratory is called ${name}`)
    if (families === 'none') {
      this.#names.delete(name)
      return
    }
    this.#names.set(name, {
      a: families === '6' ? [] : [addressBytes(site.address4)],
      aaaa: families === '4' ? [] : [addressBytes(site.address6)],
    })
  }

  async listen(address: string): Promise<void> {
    const udp = createSocket(address.includes(':') ? 'udp6' : 'udp4')
    udp.on('message', (query, from) => {
      const answer = this.#answer(query)
      if (answer !== undefined) udp.send(answer, from.port, from.address)
    })
    udp.bind(53, address)
    const tcp = createServer((socket) => void this.#serve(socket))
    tcp.listen(53, address)
    await Promise.all([once(udp, 'listening'), once(tcp, 'listening')])
  }

  #answer(query: Buffer): Buffer | undefined {
    return answerQuery(query, (name) => this.#names.get(name))
  }

  /** Over TCP each message follows its length in two bytes (RFC 1035 section 4.2.2). */
  async #serve(socket: Socket): Promise<void> {
    socket.on('error', () => {})
    const reader = new ByteReader(socket)
    try {
      for (;;) {
        const query = await reader.exactly((await reader.exactly(2)).readUInt16BE())
        const answer = this.#answer(query)
        if (answer === undefined) break
        const length = Buffer.alloc(2)
        length.writeUInt16BE(answer.length)
        socket.write(Buffer.concat([length, answer]))
      }
    } catch {
      // The client has gone, which is how each of its connections ends.
    }
    socket.end()
  }
}
