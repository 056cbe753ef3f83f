import type { Enforcement } from '../../../firewall/enforcement.ts'
import { CLOCK_UID, GUARDED_PORT, LLM, PROXY_PORT, PROXY_UID, SERVICE_UID, UPLINK } from './places.ts'

/** As under the policy `standard`. */
export const enforcement: Enforcement = {
  fence: 'providers',
  redirect: 'ports',
  ports: [80, 443],
  addresses4: [LLM[4]],
  addresses6: [LLM[6]],
  bridges: ['br-*'],
  proxyUids: [PROXY_UID],
  subjects: 'everyone',
  exempt: { uids: [], gids: [], cgroups: [] },
  allowed: [{ protocol: 'udp', ports: [123], uids: [CLOCK_UID] }],
  redirectPort: PROXY_PORT,
  localPorts: [],
  guardedPorts: [{ port: GUARDED_PORT, uids: [SERVICE_UID] }],
  logGroup: 71,
  dnsLogGroup: 72,
  resolversRefused: false,
  uplinks: [UPLINK],
  leaseMs: 60_000,
}
