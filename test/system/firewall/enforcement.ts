import type { Enforcement } from '../../../firewall/enforcement.ts'
import { GUARDED_PORT, LLM, PROXY_PORT, PROXY_UID, SERVICE_UID } from './places.ts'

export const enforcement: Enforcement = {
  mode: 'standard',
  exemptUids: [PROXY_UID],
  ports: [80, 443],
  addresses4: [LLM[4]],
  addresses6: [LLM[6]],
  bridges: ['br-*'],
  redirectPort: PROXY_PORT,
  guardedPorts: [{ port: GUARDED_PORT, uids: [SERVICE_UID] }],
  logGroup: 71,
}
