import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import type { Site } from '../addresses.ts'
import { ByteReader } from './byte-reader.ts'
import { type Addresses, addressBytes, answerQuery } from './dns-answer.ts'
import { logBytes, logConnection, logDatagram } from './logged-connection.ts'
import type { Families } from './messages.ts'
import type { WireLogWriter } from './wire-log-writer.ts'

/** The laboratory's names: its sites, and everything else doesn't exist. Any of its resolvers gives the same. */
export class DnsServer {
  readonly #names = new Map<string, Addresses>()
  readonly #https = new Map<string, Uint8Array>()
  readonly #sites: readonly Site[]

  constructor(sites: readonly Site[]) {
    this.#sites = sites
    for (const site of sites) this.resolve(site.name, 'both', false)
  }

  /** Says from now on which addresses a site's name has, and whether those are the ones it moves to. */
  resolve(name: string, families: Families, next: boolean): void {
    const site = this.#sites.find((each) => each.name === name)
    if (site === undefined) throw new Error(`no site of the laboratory is called ${name}`)
    if (families === 'none') {
      this.#names.delete(name)
      return
    }
    const { address4, address6 } = (next && site.next) || site
    this.#names.set(name, {
      a: families === '6' ? [] : [addressBytes(address4)],
      aaaa: families === '4' ? [] : [addressBytes(address6)],
    })
  }

  /** Gives a name any addresses from now on. None: a site's name has its own again, any other doesn't exist. */
  addresses(name: string, addresses: readonly string[]): void {
    if (addresses.length > 0) {
      const bytes = (six: boolean) => addresses.filter((each) => each.includes(':') === six).map(addressBytes)
      this.#names.set(name, { a: bytes(false), aaaa: bytes(true) })
    } else if (this.#sites.some((site) => site.name === name)) this.resolve(name, 'both', false)
    else this.#names.delete(name)
  }

  /** Gives a name an HTTPS record from now on, or takes it away. */
  https(name: string, data: Uint8Array | undefined): void {
    if (data === undefined) this.#https.delete(name)
    else this.#https.set(name, data)
  }

  /** @param logged where each question is entered, under the resolver's name */
  async listen(address: string, logged?: { site: string; log: WireLogWriter }): Promise<void> {
    const udp = createSocket(address.includes(':') ? 'udp6' : 'udp4')
    udp.on('message', (query, from) => {
      if (logged !== undefined) logDatagram(query, from, { ...logged, address, port: 53 })
      const answer = this.answer(query)
      if (answer !== undefined) udp.send(answer, from.port, from.address)
    })
    udp.bind(53, address)
    const tcp = createServer((socket) => {
      if (logged !== undefined) {
        const where = { site: logged.site, port: 53, protocol: 'tcp' } as const
        logBytes(socket, logged.log, logConnection(socket, logged.log, where))
      }
      void this.serve(socket)
    })
    tcp.listen(53, address)
    await Promise.all([once(udp, 'listening'), once(tcp, 'listening')])
  }

  /** The answer to a message; undefined where it is no query. */
  answer(query: Buffer): Buffer | undefined {
    return answerQuery(query, (name) => {
      const addresses = this.#names.get(name)
      const https = this.#https.get(name)
      return addresses && https ? { ...addresses, https: [https] } : addresses
    })
  }

  /** Over TCP each message follows its length in two bytes (RFC 1035 section 4.2.2). */
  async serve(socket: Socket): Promise<void> {
    socket.on('error', () => {})
    const reader = new ByteReader(socket)
    try {
      for (;;) {
        const query = await reader.exactly((await reader.exactly(2)).readUInt16BE())
        const answer = this.answer(query)
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
