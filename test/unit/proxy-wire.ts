/** Bytes that clients send, for tests of what is read from them. */
import { type AddressInfo, connect, createServer } from 'node:net'
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
