/**
 * RDATA of an HTTPS record (RFC 9460 section 2.2) as large sites publish it, with a working ECH configuration
 * (RFC 9849 section 4) where that is asked for. Pure but for the key, which nobody keeps: no server of the
 * laboratory can read what was encrypted to it, as none could here if its operator's were withheld.
 */
import { generateKeyPairSync } from 'node:crypto'

/** SvcParamKeys (RFC 9460 section 14.3.2, RFC 9848). */
const ALPN = 1
const ECH = 5
/** RFC 9849: version of ECHConfig; RFC 9180: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-128-GCM. */
const ECH_VERSION = 0xfe0d
const X25519 = 0x0020
const HKDF_SHA256 = 0x0001
const AES_128_GCM = 0x0001

/** The name in the clear of whoever uses the configuration. */
export const ECH_PUBLIC_NAME = 'cover.example.org'

export function httpsRecord(withEch: boolean): Buffer {
  const alpn = Buffer.concat(['h3', 'http/1.1'].map((id) => prefixed8(Buffer.from(id))))
  return Buffer.concat([
    uint16(1),
    // The owner's own name.
    Buffer.from([0]),
    parameter(ALPN, alpn),
    ...(withEch ? [parameter(ECH, prefixed16(echConfig()))] : []),
  ])
}

function echConfig(): Buffer {
  const { publicKey } = generateKeyPairSync('x25519')
  const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url')
  const contents = Buffer.concat([
    Buffer.from([7]),
    uint16(X25519),
    prefixed16(raw),
    prefixed16(Buffer.concat([uint16(HKDF_SHA256), uint16(AES_128_GCM)])),
    // maximum_name_length
    Buffer.from([0]),
    prefixed8(Buffer.from(ECH_PUBLIC_NAME)),
    // No extensions.
    uint16(0),
  ])
  return Buffer.concat([uint16(ECH_VERSION), prefixed16(contents)])
}

function parameter(key: number, value: Buffer): Buffer {
  return Buffer.concat([uint16(key), prefixed16(value)])
}

function prefixed8(bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from([bytes.length]), bytes])
}

function prefixed16(bytes: Buffer): Buffer {
  return Buffer.concat([uint16(bytes.length), bytes])
}

function uint16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff])
}
