/** The hosts that the gateway itself needs: names and addresses, among each other. */
import { normaliseName } from './host-name.ts'
import { compileNetworks } from './network.ts'
import { onceEach } from './once-each.ts'

const compiled = onceEach((hosts: readonly string[]) => ({
  names: new Set(hosts.flatMap((host) => normaliseName(host) ?? [])),
  addresses: compileNetworks(hosts),
}))

/** @param name normalised */
export const isOwnName = (hosts: readonly string[], name: string): boolean => compiled(hosts).names.has(name)

export const isOwnAddress = (hosts: readonly string[], address: string): boolean =>
  compiled(hosts).addresses.has(address)
