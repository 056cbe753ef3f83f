/**
 * Certificates that agents are shown. The worker makes one P-256 key at its start and keeps it; the supervisor,
 * who alone has the CA key, signs that key for one governed name at a time.
 */
import { generateKeyPairSync, hkdfSync, X509Certificate } from 'node:crypto'
import { createSecureContext, type SecureContext } from 'node:tls'
import { messageOf } from '../base/errors.ts'
import { ProxyError } from './proxy-error.ts'

/** Says a PEM chain (leaf, CA) for a name and a public key (SPKI, DER). */
export type AskForLeaf = (name: string, spki: Buffer) => Promise<string>

interface Cached {
  readonly context: Promise<SecureContext>
  /** Milliseconds since the epoch after which a new leaf is asked for. */
  renewAt: number
}

const MAX_NAMES = 1000
/** RFC 5077 keys as node:tls takes them. */
const TICKET_KEYS_BYTES = 48

export class Leaves {
  readonly #ask: AskForLeaf
  readonly #key: string
  readonly #spki: Buffer
  readonly #ticketKeys: Buffer
  readonly #cached = new Map<string, Cached>()

  /** @param secret shared by the workers of this machine: a ticket of one is good at all of them */
  constructor(ask: AskForLeaf, secret: Buffer) {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    this.#ask = ask
    this.#key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
    this.#spki = publicKey.export({ type: 'spki', format: 'der' })
    this.#ticketKeys = Buffer.from(
      hkdfSync('sha256', secret, '', 'agent-anchor v1 tls session tickets', TICKET_KEYS_BYTES),
    )
  }

  /** @throws ProxyError leaf_unavailable */
  contextFor(name: string, time = Date.now()): Promise<SecureContext> {
    const cached = this.#cached.get(name)
    if (cached && cached.renewAt > time) return cached.context
    const made: Cached = { context: this.#make(name, time), renewAt: Number.POSITIVE_INFINITY }
    this.#cached.delete(name)
    this.#cached.set(name, made)
    if (this.#cached.size > MAX_NAMES) this.#cached.delete(this.#cached.keys().next().value as string)
    made.context.catch(() => {
      if (this.#cached.get(name) === made) this.#cached.delete(name)
    })
    return made.context
  }

  async #make(name: string, time: number): Promise<SecureContext> {
    try {
      const pem = await this.#ask(name, this.#spki)
      const ends = new X509Certificate(pem).validToDate.getTime()
      const context = createSecureContext({
        key: this.#key,
        cert: pem,
        minVersion: 'TLSv1.2',
        ticketKeys: this.#ticketKeys,
        sessionIdContext: 'agent-anchor',
      })
      const cached = this.#cached.get(name)
      // Half of what is left: well before it ends, and an authority whose own end is near isn't asked all the time.
      if (cached) cached.renewAt = time + (ends - time) / 2
      return context
    } catch (error) {
      throw new ProxyError(
        'leaf_unavailable',
        `no certificate for ${name}: ${messageOf(error)}`,
        'Check with `agent-anchor status` that the supervisor runs and that its CA permits this name.',
        error,
      )
    }
  }
}
