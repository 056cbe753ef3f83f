/** A gateway that is well, as its status and its metrics are tested from. */
import type { RecorderStatus } from '../../cli/recorder-status.ts'
import type { SupervisorState } from '../../daemon/supervisor/state-file.ts'
import { NOTHING } from '../../daemon/supervisor/traffic.ts'

export const healthySupervisor: SupervisorState = {
  v: 1,
  version: '1.2.3',
  pid: 42,
  pidStart: '1',
  phase: 'running',
  since: '2026-01-01T00:00:00Z',
  policy: { name: 'standard', hash: 'abcdef0123456789', refuses: true, reloads: 0 },
  vault: 'host key',
  ca: {
    certificates: [
      {
        sha256: 'ab'.repeat(32),
        notBefore: '2025-12-01T00:00:00.000Z',
        notAfter: '2095-12-01T00:00:00.000Z',
      },
    ],
    outgrown: [],
    tooWide: false,
  },
  enforcement: {
    fence: true,
    redirect: true,
    addresses: 9,
    addressesKnown: true,
    namesAnswered: true,
    unfenced: false,
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

export const healthyRecorder: RecorderStatus = {
  records: 1300,
  pending: 1,
  treeSize: '1298',
  checkpointTime: '2026-01-01T00:09:57Z',
  captured: {
    total: 1204,
    lately: 14,
    agents: 2,
    counting: false,
    last: { time: '2026-01-01T00:09:57Z', provider: 'openai' },
  },
  bodyBytes: 1.2e9,
  disk: { free: 18e9, total: 40e9, reserve: 256 << 20, fullAt: '2026-02-10T00:00:00Z' },
  anchoring: {
    preset: 'bounded',
    acknowledge: 'local',
    trial: true,
    anchored: '1298',
    lagSeconds: 0,
    lagLeaves: '0',
    holding: 0,
  },
  chain: {
    chains: [
      {
        name: 'development',
        label: 'development chain: no independent evidence',
        anchored: { size: '1298', root: 'ab', block: 5, time: '2026-01-01T00:09:57Z', transaction: '0xab' },
      },
    ],
  },
  health: [],
}
