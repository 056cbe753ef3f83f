/** DNS by c-ares, without the system's libc: no thread pool, no search list, a time-out of our own. */
import { Resolver } from 'node:dns/promises'
import { statSync } from 'node:fs'

export interface DnsAnswer {
  readonly addresses: readonly string[]
  /** Seconds. */
  readonly ttl: number
}

/** One question about a name; rejects with the resolver's error where both families fail. */
export type Dns = (name: string) => Promise<DnsAnswer>

const TIMEOUT_MS = 2000
const TRIES = 2
const RESOLV_CONF = '/etc/resolv.conf'
const NO_ANSWER: DnsAnswer = { addresses: [], ttl: 60 }

/** Asks the servers of /etc/resolv.conf for A and AAAA at once; servers are read anew when that file changes. */
export function systemDns(): Dns {
  let version: string | undefined
  let resolver: Resolver | undefined
  const current = () => {
    const found = versionOf(RESOLV_CONF)
    if (!resolver || found !== version) {
      version = found
      resolver = new Resolver({ timeout: TIMEOUT_MS, tries: TRIES })
    }
    return resolver
  }
  return async (name) => {
    const asked = current()
    const [four, six] = await Promise.allSettled([
      asked.resolve4(name, { ttl: true }),
      asked.resolve6(name, { ttl: true }),
    ])
    if (four.status === 'rejected' && six.status === 'rejected') throw four.reason
    const found = [
      ...(four.status === 'fulfilled' ? four.value : []),
      ...(six.status === 'fulfilled' ? six.value : []),
    ]
    if (found.length === 0) return NO_ANSWER
    return { addresses: found.map((one) => one.address), ttl: Math.min(...found.map((one) => one.ttl)) }
  }
}

function versionOf(path: string): string {
  try {
    const { mtimeMs, ino } = statSync(path)
    return `${mtimeMs} ${ino}`
  } catch {
    return 'absent'
  }
}
