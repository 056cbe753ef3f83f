/**
 * Reads what a connection says about itself in its first TLS flight: SNI (RFC 6066 §3), ALPN (RFC 7301) and
 * whether the encrypted_client_hello extension is there (RFC 9849).
 *
 * Threat model: the bytes are an agent's who wants to hide a name from us. Handshake messages cut over many
 * records are put together; a hello that can't be read is one without a name, which the policy refuses towards
 * a provider; duplicated server names count as none, but are told: what they hide may be a provider's.
 */
export interface ClientHello {
  /** As sent, lower case; absent where there is none or it is no printable ASCII. */
  readonly name?: string
  /** The same in its own case: servers choose a host by it as it stands. */
  readonly sent?: string
  /** All of them in lower case, where there are several, and so `name` is none. */
  readonly several?: readonly string[]
  readonly alpn: readonly string[]
  readonly ech: boolean
}

const HANDSHAKE = 22
/** Some servers pass over these, and over empty records, also before and within a ClientHello. */
const ALERT = 21
const CHANGE_CIPHER_SPEC = 20
const CLIENT_HELLO = 1
/** RFC 8446 §5.1: 2^14 bytes of plaintext; the header is 5 bytes. */
const MAX_RECORD = 1 << 14
const SERVER_NAME = 0
const APPLICATION_PROTOCOLS = 16
const ENCRYPTED_CLIENT_HELLO = 0xfe0d
const NOTHING: ClientHello = { alpn: [], ech: false }

/**
 * @param bytes all that was received so far
 * @param last true if no more will be waited for: what can be read of a hello that is not complete counts
 */
export function readClientHello(bytes: Buffer, last = false): ClientHello | 'more' | 'not-tls' {
  const gathered = gather(bytes)
  if (gathered === 'not-tls') return gathered
  if (gathered.length > 0 && gathered[0] !== CLIENT_HELLO) return 'not-tls'
  const length = gathered.length < 4 ? undefined : gathered.readUIntBE(1, 3)
  if (length === undefined) return last ? NOTHING : 'more'
  if (gathered.length < 4 + length && !last) return 'more'
  return parse(gathered.subarray(4, 4 + length))
}

/** The handshake bytes of the records at the start of `bytes`, the last of them perhaps cut short. */
function gather(bytes: Buffer): Buffer | 'not-tls' {
  const parts: Buffer[] = []
  let at = 0
  while (at < bytes.length) {
    const type = bytes[at]
    if (type !== HANDSHAKE && type !== ALERT && type !== CHANGE_CIPHER_SPEC) {
      return at === 0 ? 'not-tls' : Buffer.concat(parts)
    }
    if (at + 1 < bytes.length && bytes[at + 1] !== 3) return 'not-tls'
    if (at + 5 > bytes.length) break
    const length = bytes.readUInt16BE(at + 3)
    if (length > MAX_RECORD) return 'not-tls'
    if (type === HANDSHAKE) parts.push(bytes.subarray(at + 5, at + 5 + length))
    at += 5 + length
  }
  return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts)
}

/** Walks length-prefixed vectors; reading past the end gives undefined and stops the walk. */
class Cursor {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  number(size: number): number | undefined {
    if (this.#at + size > this.#bytes.length) return undefined
    this.#at += size
    return this.#bytes.readUIntBE(this.#at - size, size)
  }

  take(length: number): Buffer | undefined {
    if (this.#at + length > this.#bytes.length) return undefined
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }

  /** A vector whose length stands before it in `size` bytes. */
  vector(size: number): Buffer | undefined {
    const length = this.number(size)
    return length === undefined ? undefined : this.take(length)
  }
}

function parse(body: Buffer): ClientHello {
  const hello = new Cursor(body)
  const fixed = hello.take(2 + 32) && hello.vector(1) && hello.vector(2) && hello.vector(1)
  if (!fixed || hello.number(2) === undefined) return NOTHING
  const names: (string | undefined)[] = []
  let alpn: string[] = []
  let ech = false
  for (;;) {
    const type = hello.number(2)
    const data = type === undefined ? undefined : hello.vector(2)
    if (!data) break
    if (type === SERVER_NAME) names.push(...serverNames(data))
    if (type === APPLICATION_PROTOCOLS) alpn = protocols(data)
    if (type === ENCRYPTED_CLIENT_HELLO) ech = true
  }
  const read = names.filter((name) => name !== undefined)
  if (names.length > 1) return { several: read.map((name) => name.toLowerCase()), alpn, ech }
  const [sent] = read
  return sent === undefined ? { alpn, ech } : { name: sent.toLowerCase(), sent, alpn, ech }
}

/** Each entry of a list; undefined for what is no name in printable ASCII. */
function serverNames(data: Buffer): (string | undefined)[] {
  const list = new Cursor(new Cursor(data).vector(2) ?? Buffer.alloc(0))
  const names: (string | undefined)[] = []
  for (let type = list.number(1); type !== undefined; type = list.number(1)) {
    const bytes = list.vector(2)
    const text = type === 0 ? bytes?.toString('latin1') : undefined
    names.push(text !== undefined && text.length <= 255 && /^[\x21-\x7e]+$/.test(text) ? text : undefined)
    if (!bytes) break
  }
  return names
}

function protocols(data: Buffer): string[] {
  const list = new Cursor(new Cursor(data).vector(2) ?? Buffer.alloc(0))
  const found: string[] = []
  for (let one = list.vector(1); one; one = list.vector(1)) found.push(one.toString('latin1'))
  return found
}
