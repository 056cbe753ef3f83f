/** systemd-resolved beside a policy that wants to see, or to answer, every question of DNS. Pure. */
import type { Check } from './check.ts'

/**
 * @param files its configuration's, the one that counts least first. resolved.conf(5)
 * @param resolvers what the policy does with resolvers that are asked under encryption
 */
export function resolvedCheck(files: readonly string[], resolvers: 'pass' | 'refuse'): Check {
  const check = 'beside systemd-resolved'
  const settings = files.flatMap((text) => [...text.matchAll(/^\s*DNSOverTLS\s*=\s*(\S+)/gim)])
  const overTls = /^(?:yes|true|on|1)$/i.test(settings.at(-1)?.[1] ?? '')
  if (!overTls) return { check, result: 'held', detail: 'it asks in the open, where its answers can be read' }
  return resolvers === 'refuse'
    ? {
        ...{ check, result: 'attention' },
        detail: 'it asks under TLS (DNSOverTLS), which the policy refuses: names do not resolve',
        remedy:
          'Set DNSOverTLS=no in /etc/systemd/resolved.conf, and: sudo systemctl restart systemd-resolved',
      }
    : {
        ...{ check, result: 'held' },
        detail:
          'it asks under TLS (DNSOverTLS): the addresses of names that fit only a pattern are known from their first use on',
      }
}
