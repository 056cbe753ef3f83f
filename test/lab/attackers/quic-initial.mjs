// QUIC initial packets (RFC 9001 section 5, RFC 9369 for version 2) with a ClientHello for a name, as HTTP/3 begins.
import { createCipheriv, createHmac, randomBytes } from 'node:crypto'
import { clientHello } from './client-hello.mjs'

const VERSIONS = {
  1: { number: 0x00000001, first: 0xc3, salt: '38762cf7f55934b34d179ae6a4c80cadccbb7f0a', label: 'quic ' },
  2: { number: 0x6b3343cf, first: 0xd3, salt: '0dede3def700a6db819381be6e269dcbf9bd2ed9', label: 'quicv2 ' },
}
const DATAGRAM = 1200
const TAG = 16

const hmac = (key, data) => createHmac('sha256', key).update(data).digest()

function expand(secret, label, length) {
  const name = Buffer.from(`tls13 ${label}`)
  const info = Buffer.concat([Buffer.from([0, length, name.length]), name, Buffer.from([0])])
  return hmac(secret, Buffer.concat([info, Buffer.from([1])])).subarray(0, length)
}

const varint = (value) => Buffer.from([0x40 | (value >> 8), value & 0xff])

export function initialPacket(sni, version) {
  const { number, first, salt, label } = VERSIONS[version]
  const connectionId = randomBytes(8)
  const initial = hmac(Buffer.from(salt, 'hex'), connectionId)
  const client = expand(initial, 'client in', 32)
  const [key, iv, hp] = [
    expand(client, `${label}key`, 16),
    expand(client, `${label}iv`, 12),
    expand(client, `${label}hp`, 16),
  ]
  const hello = clientHello({ sni, alpn: ['h3'], quic: true })
  const crypto = Buffer.concat([Buffer.from([6, 0]), varint(hello.length), hello])
  // Packet number 0 in four bytes.
  const before = Buffer.concat([
    Buffer.from([first]),
    Buffer.from([number >>> 24, (number >> 16) & 0xff, (number >> 8) & 0xff, number & 0xff]),
    Buffer.from([connectionId.length]),
    connectionId,
    Buffer.from([0, 0]),
  ])
  const room = DATAGRAM - before.length - 2 - 4 - TAG
  const plain = Buffer.concat([crypto, Buffer.alloc(room - crypto.length)])
  const header = Buffer.concat([before, varint(4 + plain.length + TAG), Buffer.alloc(4)])
  const cipher = createCipheriv('aes-128-gcm', key, iv)
  cipher.setAAD(header)
  const sealed = Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()])
  const mask = createCipheriv('aes-128-ecb', hp, null).update(sealed.subarray(0, 16))
  header[0] ^= mask[0] & 0x0f
  for (let at = 0; at < 4; at++) header[header.length - 4 + at] ^= mask[1 + at]
  return Buffer.concat([header, sealed])
}
