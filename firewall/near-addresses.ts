import { isIPv4 } from 'node:net'

/**
 * Addresses that mean whoever is near: the link, and the services by which clouds give a machine its credentials.
 * No LLM provider has one, and they are never redirected: who may call them is said by the administrator's own
 * rules, by owner, and those come after a redirect, where the caller would be the proxy.
 */
export const NEAR4 = [
  /** Link-local (RFC 3927), with nearly every cloud's metadata service. */
  '169.254.0.0/16',
  /** Metadata of Alibaba and Oracle, and Azure's WireServer. */
  '100.100.100.200',
  '192.0.0.192',
  '168.63.129.16',
] as const

export const NEAR6 = [
  'fe80::/10',
  /** Metadata of AWS (instances, and pods of EKS), Google and Oracle. */
  'fd00:ec2::254',
  'fd00:ec2::23',
  'fd20:ce::254',
  'fd00:c1::a9fe:a9fe',
] as const

/** A network in its two parts, an address as a network of its own. */
export function networkOf(text: string): readonly [address: string, prefix: number] {
  const [address = '', prefix = isIPv4(address) ? 32 : 128] = text.split('/')
  return [address, Number(prefix)]
}
