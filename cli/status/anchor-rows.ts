/** Rows of the status: how far anchoring is behind, and each chain's newest anchor; pure. */
import type { AnchoringStatus, RecorderStatus } from '../recorder-status.ts'
import { chainLines } from './chain-lines.ts'
import { counted } from './numbers.ts'

export function anchorRows({ anchoring, chain }: RecorderStatus, now: Date): string[][] {
  const lines = [
    ...(anchoring ? [anchoringText(anchoring)] : []),
    // What a development chain is worth is said once.
    ...(chain?.chains ?? []).flatMap(({ label, ...each }) =>
      chainLines(anchoring?.trial || label === undefined ? each : { ...each, label }, now),
    ),
  ]
  return lines.map((line, i) => [i === 0 ? 'anchors' : '', line])
}

function anchoringText(state: AnchoringStatus): string {
  const { preset, acknowledge, trial, lagSeconds, lagLeaves, holding, blocked } = state
  const lag =
    lagLeaves === '0'
      ? 'all anchored'
      : `${counted(BigInt(lagLeaves), 'record')} not anchored, the oldest for ${lagSeconds} s`
  const held = acknowledge === 'local' ? '' : `, answers wait for ${acknowledge}, holding ${holding}`
  const worth = trial ? ' (development chain: no independent evidence)' : ''
  return `${preset}${held}: ${lag}${blocked === undefined ? '' : ', NEW CALLS ARE REFUSED'}${worth}`
}
