/** Bytes that clients send, for tests of what is read from them. */
import { connect as connectH2 } from 'node:http2'
import { type AddressInfo, connect, createServer } from 'node:net'
import { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'

/** The first flight of a real TLS client. */
export function clientHello(options: {
  servername?: string
  ALPNProtocols?: string[]
  minVersion?: 'TLSv1.2'
  maxVersion?: 'TLSv1.2' | 'TLSv1.3'
}): Promise<Buffer> {
  return new Promise((resolve) => {
    const server = createServer((socket) => {
      socket.once('data', (bytes) => {
        socket.destroy()
        server.close()
        resolve(bytes)
      })
      socket.on('error', () => {})
    })
    server.listen(0, '127.0.0.1', () => {
      const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
      connectTls({ socket, ...options }).on('error', () => {})
      socket.on('error', () => {})
    })
  })
}

const port = (number: number) => [number >> 8, number & 255]

export const socks5Greeting = Buffer.from([5, 2, 0, 2])
export const socks5SignIn = Buffer.from([1, 4, ...Buffer.from('user'), 6, ...Buffer.from('secret')])

export const socks5Request = (host: string | readonly number[], to = 443): Buffer =>
  typeof host === 'string'
    ? Buffer.from([5, 1, 0, 3, host.length, ...Buffer.from(host), ...port(to)])
    : Buffer.from([5, 1, 0, host.length === 4 ? 1 : 4, ...host, ...port(to)])

/** Version 4; a name makes it 4a. */
export const socks4Request = (host: string | readonly number[], to = 443): Buffer =>
  typeof host === 'string'
    ? Buffer.from([4, 1, ...port(to), 0, 0, 0, 1, ...Buffer.from('me\0'), ...Buffer.from(`${host}\0`)])
    : Buffer.from([4, 1, ...port(to), ...host, ...Buffer.from('me\0')])

export const connectRequest = (target: string, fields = ''): Buffer =>
  Buffer.from(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${fields}\r\n`)

/** What a client of HTTP/2 without TLS sends first: up to the end of its request's fields. */
export function h2Start(
  fields: Readonly<Record<string, string | string[]>>,
  host = 'nobody.example',
): Promise<Buffer> {
  return new Promise((resolve) => {
    let sent: Buffer = Buffer.alloc(0)
    const wire = new Duplex({
      read() {},
      write(bytes: Buffer, _, done) {
        sent = Buffer.concat([sent, bytes])
        done()
        const end = endOfFields(sent)
        if (end === undefined) return
        session.destroy()
        resolve(sent.subarray(0, end))
      },
    })
    const session = connectH2(`http://${host}`, { createConnection: () => wire })
    session.on('error', () => {})
    session.request(fields).on('error', () => {})
  })
}

/** Index after the frame that ends the first header block (RFC 9113 section 6.2). */
function endOfFields(bytes: Buffer): number | undefined {
  for (let at = 24; at + 9 <= bytes.length; ) {
    const end = at + 9 + bytes.readUIntBE(at, 3)
    const [type, flags = 0] = bytes.subarray(at + 3)
    if ((type === 1 || type === 9) && flags & 4) return end <= bytes.length ? end : undefined
    at = end
  }
  return undefined
}
