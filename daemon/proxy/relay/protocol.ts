/**
 * Which HTTP is spoken with an agent: the one that the provider chooses of those that the agent offers, so that an
 * agent sees of ALPN what it would see without us.
 */
import { messageOf } from '../../base/errors.ts'
import { ProxyError } from '../proxy-error.ts'
import type { Protocol } from '../upstream/connection.ts'
import type { Governed, Shared } from './facts.ts'
import { type Opened, open, targetOf } from './target.ts'

export type Choice =
  | { readonly protocol: 'http/1.1'; readonly opening?: Promise<Opened> }
  | { readonly protocol: 'h2'; readonly opening: Promise<Opened> }
  | { readonly protocol: 'none'; readonly reason: string }

const isKnown = (protocol: string): protocol is Protocol => protocol === 'h2' || protocol === 'http/1.1'

/** @param alpn what the agent offers; nothing is HTTP/1.1 */
export async function choose(shared: Shared, governed: Governed, alpn: readonly string[]): Promise<Choice> {
  const offered = alpn.filter(isKnown)
  if (!governed.tls || alpn.length === 0) return { protocol: 'http/1.1' }
  if (offered.length === 0) {
    return { protocol: 'none', reason: `the agent speaks only ${alpn.join(', ')} here, and no HTTP` }
  }
  if (!offered.includes('h2')) return { protocol: 'http/1.1' }
  const known = shared.providers.protocolOf(targetOf(governed), offered)
  if (known === 'h2') return h2(open(shared, governed, offered))
  return known === undefined ? ask(shared, governed, offered) : http1(governed, offered)
}

async function ask(shared: Shared, governed: Governed, offered: readonly Protocol[]): Promise<Choice> {
  const opening = open(shared, governed, offered)
  try {
    const { connection } = await opening
    if (connection.protocol === 'h2') return h2(opening)
    const choice = http1(governed, offered, opening)
    if (choice.protocol === 'none') connection.destroy()
    return choice
  } catch (error) {
    // The first request is answered with the reason; only one that HTTP/1.1 can't be spoken with hears it in HTTP/2.
    if (offered.includes('http/1.1')) return http1(governed, offered, opening)
    if (!(error instanceof ProxyError) || error.code === 'upstream_tls_failed') {
      return { protocol: 'none', reason: `the agent speaks only h2 here: ${messageOf(error)}` }
    }
    return h2(opening)
  }
}

function h2(opening: Promise<Opened>): Choice {
  // Its failure is heard by whoever takes it, which may be later.
  opening.catch(() => {})
  return { protocol: 'h2', opening }
}

function http1(governed: Governed, offered: readonly Protocol[], opening?: Promise<Opened>): Choice {
  if (offered.includes('http/1.1')) return { protocol: 'http/1.1', ...(opening ? { opening } : {}) }
  return { protocol: 'none', reason: `the agent speaks only h2 here, and ${governed.name} only http/1.1` }
}
