import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type TLSSocket, type Server as TlsServer } from 'node:tls'
import { addressesOf, type Site } from '../addresses.ts'
import type { Protocol } from '../wire-log.ts'
import type { SiteHandler } from './answer.ts'
import type { Credentials } from './certificates.ts'
import { serveHttp } from './http-server.ts'
import { serveHttp2 } from './http2-server.ts'
import { logConnection } from './logged-connection.ts'
import type { WireLogWriter } from './wire-log-writer.ts'

interface Listener {
  readonly server: Server
  readonly address: string
  readonly port: number
}

export interface WebSiteOptions {
  /** It asks who its clients are: `required` sends those away who show no certificate of these roots (PEM). */
  readonly clients?: { readonly certificate: 'required' | 'wanted'; readonly roots: string }
}

/** One site on ports 443 and 80 of all its addresses. */
export class WebSite {
  readonly #site: Site
  readonly #handler: SiteHandler
  readonly #log: WireLogWriter
  readonly #listeners: Listener[] = []
  readonly #tlsServers: TlsServer[] = []
  readonly #open = new Set<Socket>()
  #http2 = false

  constructor(
    site: Site,
    credentials: Credentials,
    handler: SiteHandler,
    log: WireLogWriter,
    options: WebSiteOptions = {},
  ) {
    this.#site = site
    this.#handler = handler
    this.#log = log
    for (const address of addressesOf(site)) {
      const secure = this.#tlsServer(credentials, options, address.includes(':'))
      this.#tlsServers.push(secure)
      this.#listeners.push({ server: secure, address, port: 443 })
      this.#listeners.push({ server: this.#plainServer(), address, port: 80 })
    }
  }

  async listen(): Promise<void> {
    for (const { server, address, port } of this.#listeners) {
      if (server.listening) continue
      server.listen({ host: address, port })
      await once(server, 'listening')
    }
  }

  /** Closes the listeners and breaks open connections off: new ones are then refused with a reset. */
  async close(): Promise<void> {
    for (const socket of this.#open) socket.destroy()
    for (const { server } of this.#listeners) {
      if (!server.listening) continue
      server.close()
      await once(server, 'close')
    }
  }

  /** Shows another certificate to whoever connects from now on. */
  setCredentials(credentials: Credentials): void {
    for (const server of this.#tlsServers) server.setSecureContext(credentials)
  }

  /** Speaks HTTP/2 with who offers it and connects from now on, or no longer. */
  setHttp2(on: boolean): void {
    this.#http2 = on
  }

  /** Shows this certificate to who asks for that name. */
  share(name: string, credentials: Credentials): void {
    for (const server of this.#tlsServers) server.addContext(name, credentials)
  }

  #tlsServer(credentials: Credentials, { clients }: WebSiteOptions, six: boolean): TlsServer {
    const server = createTlsServer({
      ...credentials,
      ALPNCallback: ({ protocols }) =>
        [...(this.#http2 ? ['h2'] : []), 'http/1.1'].find((one) => protocols.includes(one)),
      noDelay: true,
      ...(clients && {
        requestCert: true,
        rejectUnauthorized: clients.certificate === 'required',
        ca: clients.roots,
        maxVersion: six ? 'TLSv1.2' : 'TLSv1.3',
      }),
    })
    // The number travels from the TCP connection to the TLS socket on top of it by their shared addresses.
    const numbers = new Map<string, number>()
    server.on('connection', (raw: Socket) => {
      const key = peerOf(raw)
      numbers.set(key, this.#accept(raw, 'tls', 443))
      raw.once('close', () => numbers.delete(key))
    })
    server.on('secureConnection', (socket: TLSSocket) => {
      const connection = numbers.get(peerOf(socket)) ?? 0
      this.#log.add(() => ({
        type: 'handshake',
        connection,
        sni: socket.servername ?? false,
        version: socket.getProtocol() ?? '',
      }))
      if (socket.alpnProtocol === 'h2') serveHttp2(socket, connection, this.#handler, this.#log)
      else void serveHttp(socket, connection, this.#handler, this.#log)
    })
    server.on('tlsClientError', (error, socket) => {
      const connection = numbers.get(peerOf(socket)) ?? 0
      this.#log.add(() => ({ type: 'error', connection, message: error.message }))
    })
    return server
  }

  #plainServer(): Server {
    return createServer({ noDelay: true }, (socket) => {
      void serveHttp(socket, this.#accept(socket, 'http', 80), this.#handler, this.#log)
    })
  }

  #accept(socket: Socket, protocol: Protocol, port: number): number {
    const connection = logConnection(socket, this.#log, { site: this.#site.name, port, protocol })
    this.#open.add(socket)
    socket.once('close', () => this.#open.delete(socket))
    return connection
  }
}

function peerOf(socket: Socket): string {
  return `${socket.remoteAddress}|${socket.remotePort}`
}
