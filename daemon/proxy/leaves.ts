/**
 * Certificates that agents are shown. The worker makes one P-256 key at its start and keeps it; the supervisor,
 * who alone has the CA key, signs that key for one governed name at a time.
 */
import { generateKeyPairSync, hkdfSync, X509Certificate } from 'node:crypto'
import { createSecureContext, type SecureContext } from 'node:tls'
import { type Issued, LeafCache } from '../../ca/leaf-cache.ts'
import { messageOf } from '../base/errors.ts'
import { ProxyError } from './proxy-error.ts'

/** Says a PEM chain (leaf, CA) for a name and a public key (SPKI, DER). */
export type AskForLeaf = (name: string, spki: Buffer) => Promise<string>

/** RFC 5077 keys as node:tls takes them. */
const TICKET_KEYS_BYTES = 48

export class Leaves {
  readonly #ask: AskForLeaf
  readonly #key: string
  readonly #spki: Buffer
  readonly #ticketKeys: Buffer
  readonly #contexts: LeafCache<SecureContext>

  /** @param secret shared by the workers of this machine: a ticket of one is good at all of them */
  constructor(ask: AskForLeaf, secret: Buffer) {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    this.#ask = ask
    this.#contexts = new LeafCache({ issue: (name) => this.#make(name) })
    this.#key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
    this.#spki = publicKey.export({ type: 'spki', format: 'der' })
    this.#ticketKeys = Buffer.from(
      hkdfSync('sha256', secret, '', 'agent-anchor v1 tls session tickets', TICKET_KEYS_BYTES),
    )
  }

  /** @throws ProxyError leaf_unavailable */
  contextFor(name: string): Promise<SecureContext> {
    return this.#contexts.get(name)
  }

  /** The leaves that were issued so far are shown to nobody any more. */
  forget(): void {
    this.#contexts.clear()
  }

  async #make(name: string): Promise<Issued<SecureContext>> {
    try {
      const pem = await this.#ask(name, this.#spki)
      const leaf = createSecureContext({
        key: this.#key,
        cert: pem,
        minVersion: 'TLSv1.2',
        ticketKeys: this.#ticketKeys,
        sessionIdContext: 'agent-anchor',
      })
      const { validFromDate, validToDate } = new X509Certificate(pem)
      return { leaf, notBefore: validFromDate, notAfter: validToDate }
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
