/** Row of the status: what is left on the disk, what bodies take of it, and when it will be full; pure. */
import { amount } from '../../daemon/base/amount.ts'
import { ahead } from '../ago.ts'
import type { RecorderStatus } from '../recorder-status.ts'

export function diskRows({ disk, bodyBytes }: RecorderStatus, now: Date): string[][] {
  if (disk === undefined) return []
  const taken = bodyBytes === undefined ? '' : `; bodies take ${amount(bodyBytes)}`
  const full = disk.fullAt === undefined ? '' : `; at this rate full in ${ahead(disk.fullAt, now)}`
  return [['disk', `${amount(disk.free)} of ${amount(disk.total)} free${taken}${full}`]]
}
