// A ClientHello of TLS 1.3 (RFC 8446 section 4.1.2) as a library sends it, with any name in it or none.
import { generateKeyPairSync, randomBytes } from 'node:crypto'

const uint16 = (value) => Buffer.from([value >> 8, value & 0xff])
const prefixed8 = (bytes) => Buffer.concat([Buffer.from([bytes.length]), bytes])
const prefixed16 = (bytes) => Buffer.concat([uint16(bytes.length), bytes])
const extension = (type, data) => Buffer.concat([uint16(type), prefixed16(data)])

// RFC 9849: encrypted_client_hello.
const ECH = 0xfe0d
const QUIC_TRANSPORT_PARAMETERS = 0x39

/** @param options {sni?: string, ech?: bool, alpn?: string[], quic?: bool} @returns the handshake message */
export function clientHello({ sni, ech = false, alpn = ['h2', 'http/1.1'], quic = false }) {
  const { publicKey } = generateKeyPairSync('x25519')
  const key = Buffer.from(publicKey.export({ format: 'jwk' }).x, 'base64url')
  const extensions = [
    ...(sni === undefined
      ? []
      : [extension(0, prefixed16(Buffer.concat([Buffer.from([0]), prefixed16(Buffer.from(sni))])))]),
    extension(10, prefixed16(uint16(29))),
    extension(13, prefixed16(Buffer.concat([0x0403, 0x0804, 0x0401].map(uint16)))),
    extension(16, prefixed16(Buffer.concat(alpn.map((id) => prefixed8(Buffer.from(id)))))),
    extension(43, prefixed8(uint16(0x0304))),
    extension(51, prefixed16(Buffer.concat([uint16(29), prefixed16(key)]))),
    ...(ech ? [extension(ECH, outer())] : []),
    ...(quic ? [extension(QUIC_TRANSPORT_PARAMETERS, Buffer.from('01048000ea60', 'hex'))] : []),
  ]
  const body = Buffer.concat([
    uint16(0x0303),
    randomBytes(32),
    prefixed8(quic ? Buffer.alloc(0) : randomBytes(32)),
    prefixed16(Buffer.concat([0x1301, 0x1302, 0x1303].map(uint16))),
    prefixed8(Buffer.from([0])),
    prefixed16(Buffer.concat(extensions)),
  ])
  return Buffer.concat([Buffer.from([1, 0]), prefixed16(body)])
}

/** ECHClientHello of type outer: HKDF-SHA256, AES-128-GCM, config 7, an encapsulated key and a payload nobody can read. */
function outer() {
  return Buffer.concat([
    Buffer.from([0]),
    uint16(1),
    uint16(1),
    Buffer.from([7]),
    prefixed16(randomBytes(32)),
    prefixed16(randomBytes(144)),
  ])
}

/** In the record that carries it. */
export const asRecord = (hello) => Buffer.concat([Buffer.from([22]), uint16(0x0301), prefixed16(hello)])
