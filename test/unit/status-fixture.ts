/** A gateway that is well, as its status and its metrics are tested from. */
import type { SupervisorState } from '../../daemon/supervisor/state-file.ts'
import { NOTHING } from '../../daemon/supervisor/traffic.ts'

export const healthySupervisor: SupervisorState = {
  v: 1,
  version: '1.2.3',
  pid: 42,
  pidStart: '1',
  phase: 'running',
  since: '2026-01-01T00:00:00Z',
  policy: { name: 'standard', hash: 'abcdef0123456789', reloads: 0 },
  vault: 'host key',
  outgrown: [],
  caTooWide: false,
  enforcement: {
    fence: true,
    redirect: true,
    addresses: 9,
    addressesKnown: true,
    uplinks: ['eth0'],
    watched: true,
    openQueues: [],
    egress: true,
  },
  missingAccounts: [],
  sensor: { blind: [], drops: 0 },
  served: [],
  traffic: NOTHING,
  children: [{ name: 'recorder', pid: 43, state: 'running', restarts: 0 }],
}
